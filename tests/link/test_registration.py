"""Registration and refresh answers, read."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from donmai_daemon.link.hostinfo import collect_host_info
from donmai_daemon.model.admission import AdmissionReport
from donmai_daemon.model.json import Json, JsonObject
from donmai_daemon.model.registration import (
    HostInfo,
    Refreshed,
    Registered,
    Registration,
    jwt_expiry,
    read_refreshed,
    read_registered,
)

GOOD: JsonObject = {"workerId": "wkr_1", "runtimeToken": "opaque", "heartbeatInterval": 30000, "pollInterval": 5000}


def jwt(claims: Json) -> str:
    middle = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"e30.{middle}.sig"


def read(**fields: Json) -> Registered:
    answer = read_registered({**GOOD, **fields})
    assert isinstance(answer, Registered)
    return answer


def test_all_of_a_registration_is_sent() -> None:
    """The report of projects, the region and the capabilities are in the body; projects are sorted as the report has them."""
    report = AdmissionReport("all-routed", ("a", "b"), (("a", "https://x/a.git"), ("c", "https://x/c.git")))
    host = HostInfo("linux", "amd64", "1", "2026-11-24T06:00:00.000Z", "Debian", 4, "EPYC", 2048)
    body = Registration("box", 8, "1", "m", host, report, region="eu", capabilities=("x",)).to_json()
    assert body == {
        "hostname": "box",
        "capacity": 8,
        "version": "1",
        "machineId": "m",
        "region": "eu",
        "hostInfo": {
            "os": "linux",
            "osVersion": "Debian",
            "arch": "amd64",
            "cpuCores": 4,
            "cpuModel": "EPYC",
            "memTotalMb": 2048,
            "daemonVersion": "1",
            "startedAt": "2026-11-24T06:00:00.000Z",
        },
        "capabilities": ["x"],
        "projectAdmissionVersion": 2,
        "projectAdmissionMode": "all-routed",
        "projectIds": ["a", "b"],
        "daemonProjects": [
            {"id": "a", "repository": "https://x/a.git"},
            {"id": "c", "repository": "https://x/c.git"},
        ],
    }


@pytest.mark.parametrize(
    ("milliseconds", "seconds"),
    [
        (30_000, 30.0),
        (1_500, 1.5),
        (2_500.5, 2.5005),
        (1, 1.0),
        (999, 1.0),
        (3_600_000, 3600.0),
        (3_600_001, 3600.0),
        (10**400, 3600.0),
        (0, None),
        (-5, None),
        (True, None),
        ("30000", None),
        (None, None),
        ([], None),
    ],
)
def test_intervals_are_milliseconds_within_a_second_and_an_hour(milliseconds: Json, seconds: float | None) -> None:
    """Intervals are clamped; what is no positive number says nothing and sinks nothing."""
    answer = read(heartbeatInterval=milliseconds, pollInterval=milliseconds)
    assert (answer.heartbeat_interval_seconds, answer.poll_interval_seconds) == (seconds, seconds)
    assert bool(answer.ignored) == (seconds is None and milliseconds is not None)


@pytest.mark.parametrize(
    "payload",
    [
        None,
        [],
        "x",
        {},
        {**GOOD, "workerId": None},
        {**GOOD, "workerId": ""},
        {**GOOD, "workerId": 7},
        {**GOOD, "workerId": "w" * 513},
        {**GOOD, "workerId": "w\n"},
        {**GOOD, "runtimeToken": ""},
        {**GOOD, "runtimeToken": "a b"},
        {**GOOD, "runtimeToken": "é"},
        {**GOOD, "runtimeToken": "x" * 20_000},
    ],
)
def test_a_registration_needs_a_worker_and_a_token(payload: Json) -> None:
    """An answer without a usable worker id or token is no registration, and the reason repeats neither."""
    reason = read_registered(payload)
    assert isinstance(reason, str)
    assert reason.startswith("answer ")


def test_unknown_fields_are_named() -> None:
    """A field that this version does not know is named and passed over."""
    assert read(brandNew=1).ignored == ("unknown field 'brandNew'",)


@pytest.mark.parametrize(
    ("fields", "expiry"),
    [
        ({"runtimeTokenExpiresAt": "2026-11-24T07:00:00.000Z"}, datetime(2026, 11, 24, 7, tzinfo=UTC)),
        ({"expiresAt": "2026-11-24T09:00:00+02:00"}, datetime(2026, 11, 24, 7, tzinfo=UTC)),
        ({"runtimeTokenExpiresAt": "soon"}, None),
        ({"runtimeTokenExpiresAt": 1796}, None),
        ({"runtimeTokenExpiresAt": "0001-01-01T00:00:00+01:00"}, None),
        ({}, None),
        (
            {"runtimeToken": jwt({"exp": 1795503600}), "expiresAt": "2030-01-01T00:00:00Z"},
            datetime(2026, 11, 24, 7, tzinfo=UTC),
        ),
        (
            {"runtimeToken": jwt({"sub": "wkr_1"}), "expiresAt": "2026-11-24T07:00:00Z"},
            datetime(2026, 11, 24, 7, tzinfo=UTC),
        ),
    ],
)
def test_the_expiry_is_the_tokens_own_else_the_answers(fields: JsonObject, expiry: datetime | None) -> None:
    """`exp` of the token wins, then the fields of the answer, then nothing is known."""
    answer = read_refreshed({"runtimeToken": "opaque", **fields})
    assert isinstance(answer, Refreshed)
    assert answer.expires_at == expiry


@pytest.mark.parametrize(
    "token",
    [
        "",
        "opaque",
        "a.b",
        "a.b.c.d",
        "a.!!!.c",
        "a..c",
        jwt([]),
        jwt({}),
        jwt({"exp": None}),
        jwt({"exp": "soon"}),
        jwt({"exp": 1e300}),
        jwt({"exp": [1]}),
        f"a.{base64.urlsafe_b64encode(b'[' * 9000).decode()}.c",
        jwt({"exp": float("nan")}),
    ],
)
def test_what_is_no_jwt_has_no_expiry(token: str) -> None:
    """Anything but three parts with a number as `exp` has no expiry, and never raises."""
    assert jwt_expiry(token) is None


def test_this_machine_describes_itself() -> None:
    """On a real machine every field is there and makes sense."""
    info = collect_host_info("1.2.3", datetime(2026, 11, 24, 6, tzinfo=UTC))
    body = info.to_json()
    assert (body["daemonVersion"], body["startedAt"]) == ("1.2.3", "2026-11-24T06:00:00.000Z")
    assert (info.cpu_cores or 0) > 0
    assert (info.memory_total_mb or 0) > 16
    assert info.os
    assert info.arch
    assert all(value is not None for value in body.values())


@pytest.mark.parametrize(
    ("cpuinfo", "model"),
    [
        ("processor\t: 0\nmodel\t\t: 207\nmodel name\t: Intel(R) Xeon(R)\n", "Intel(R) Xeon(R)"),
        ("Hardware\t: BCM2835\nModel\t\t: Raspberry Pi 4\n", "BCM2835"),
        ("model name\t:\nprocessor : 0\n", None),
        ("model name: " + "x" * 999, "x" * 200),
        (None, None),
    ],
)
def test_the_processor_is_named_where_the_kernel_names_it(
    tmp_path: Path, cpuinfo: str | None, model: str | None
) -> None:
    """The model comes from /proc/cpuinfo, and is left out where that is missing or silent."""
    if cpuinfo is not None:
        (tmp_path / "cpuinfo").write_text(cpuinfo)
    info = collect_host_info("1", datetime(2026, 11, 24, 6, tzinfo=UTC), proc=tmp_path)
    assert info.cpu_model == model
    assert ("cpuModel" in info.to_json()) == (model is not None)
