"""Self-examination, metrics, and what the package costs."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import get_args

import pytest
from tests.support.control import STAMP, snapshot

from donmai_daemon.control import doctor, metrics
from donmai_daemon.model.condition import Condition, ConditionCode
from donmai_daemon.model.config import Admission, Agent, Capacity, Config
from donmai_daemon.model.status import Snapshot
from donmai_daemon.model.wire import HostStatus


def healthy() -> Snapshot:
    return replace(snapshot(), conditions=())


def failing(now: Snapshot) -> dict[str, doctor.Check]:
    return {check.name: check for check in doctor.examine(now) if not check.ok}


def test_a_healthy_daemon_passes_every_check() -> None:
    """Nothing fails, every check is listed, and none has something to do."""
    told = doctor.to_json(doctor.examine(healthy()))
    assert told["ok"] is True
    assert failing(healthy()) == {}
    checks = told["checks"]
    assert isinstance(checks, list)
    for check in checks:
        assert isinstance(check, dict)
        assert (check["ok"], check["hint"]) == (True, None)
    names = [check["name"] for check in checks if isinstance(check, dict)]
    assert len(set(map(str, names))) == len(names)


@pytest.mark.parametrize("code", get_args(ConditionCode))
def test_every_condition_fails_a_check(code: ConditionCode) -> None:
    """Whatever the daemon reports as wrong, the examination shows with its text, its severity and a hint."""
    found = failing(replace(healthy(), conditions=(Condition(code, "warning", "it is so", STAMP),)))
    (check,) = found.values()
    assert check.detail == "it is so"
    assert check.hint


@pytest.mark.parametrize(
    ("changed", "name", "error"),
    [
        (replace(healthy(), lifecycle="paused"), "lifecycle", False),
        (replace(healthy(), config_valid=False), "config", True),
        (replace(healthy(), worker_id=None), "registration", True),
        (replace(healthy(), beat=replace(healthy().beat, ready=False)), "heartbeat", True),
        (replace(healthy(), host_status=HostStatus("pool_deleted", "move it")), "host-status", False),
        (replace(healthy(), config=replace(healthy().config, capacity=Capacity(0))), "capacity", False),
        (replace(healthy(), config=replace(healthy().config, agent=Agent())), "agent", False),
        (replace(healthy(), applied_project_ids=()), "projects", False),
    ],
)
def test_a_sick_daemon_fails_the_check_that_says_why(changed: Snapshot, name: str, error: bool) -> None:
    """One cause, one failed check; only errors make the whole fail."""
    assert set(failing(changed)) == {name}
    assert doctor.to_json(doctor.examine(changed))["ok"] is not error


def test_a_failed_beat_is_told_with_its_reason() -> None:
    """How long ago, how often, and why."""
    beat = replace(healthy().beat, ready=False, consecutive_failures=3, last_error="platform answered 503")
    check = failing(replace(healthy(), beat=beat))["heartbeat"]
    assert check.detail == f"last beat accepted at {STAMP}, 3 failed since: platform answered 503"
    never = replace(beat, last_accepted_at=None, consecutive_failures=0, last_error=None)
    assert failing(replace(healthy(), beat=never))["heartbeat"].detail == "no beat was accepted yet"


def test_all_routed_needs_no_project() -> None:
    """A machine that takes whatever is routed to it does not miss an enabled project."""
    config = Config(admission=Admission("all-routed"), agent=Agent(("agent",)), platform=healthy().config.platform)
    assert failing(replace(healthy(), config=config, applied_project_ids=())) == {}


def test_metrics_are_exposition_text() -> None:
    """Every sample has its HELP and TYPE, every value is a number, every family appears once."""
    lines = metrics.exposition(snapshot()).splitlines()
    families = [line.split(" ")[2] for line in lines if line.startswith("# TYPE ")]
    assert len(set(families)) == len(families)
    samples: dict[str, float] = {}
    for line in lines:
        if not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            samples[name] = float(value)
            assert name.partition("{")[0] in families
    assert samples['donmai_info{version="0.1.0"}'] == 1
    assert samples['donmai_state{state="ready"}'] == 1
    assert samples['donmai_state{state="paused"}'] == 0
    assert samples["donmai_heartbeat_last_accepted_timestamp_seconds"] == 1795500087.123
    assert samples["donmai_mutations_pending"] == 1
    assert samples["donmai_acks_unsent"] == 2
    assert samples['donmai_condition{code="clock_skew",severity="warning"}'] == 1
    assert samples["donmai_claiming_blocked"] == 0


def test_metrics_tell_absence_by_absence() -> None:
    """A time that never was is no sample, and two conditions with one code are one."""
    now = snapshot()
    twice = (*now.conditions, *now.conditions)
    text = metrics.exposition(replace(now, conditions=twice, beat=replace(now.beat, last_accepted_at=None)))
    assert "last_accepted" not in text
    assert text.count("donmai_condition{") == 1


def test_a_label_cannot_break_out() -> None:
    """Quotes, backslashes and newlines in a label value are escaped."""
    text = metrics.exposition(replace(snapshot(), version='1"2\\3\n4'))
    assert 'donmai_info{version="1\\"2\\\\3\\n4"} 1\n' in text


def test_the_package_stays_small() -> None:
    """Serving the API loads neither frameworks nor the modules that only describe it."""
    code = (
        "import sys\n"
        "sys.modules.update(dict.fromkeys(['better_exceptions', 'pygments', 'rich', 'trio']))\n"  # as the daemon does
        "from donmai_daemon.control import app, routes, server, sockets, token\n"
        "print([name for name in sys.argv[1:] if sys.modules.get(name)])\n"
    )
    unwanted = [
        "starlette", "rich", "pygments", "trio", "httptools", "uvloop", "websockets", "wsproto", "jsonschema", "yaml",
        "donmai_daemon.platform", "donmai_daemon.runtime", "donmai_daemon.store",
        "donmai_daemon.control.openapi", "donmai_daemon.control.schemas",
    ]  # fmt: skip
    told = subprocess.run([sys.executable, "-c", code, *unwanted], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"
