"""A platform that breaks a promise is found out. Between it and the machines stands a relay that breaks it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.support.platform import PlatformProcess
from tests.support.relay import Exchange, relay
from tests.support.simulate import Simulated, environment, simulated

from donmai_daemon.model.json import JsonObject


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlatformProcess]:
    options = ["--heartbeat-interval", "1", "--rate-limit", "10000"]
    with PlatformProcess.embedded(tmp_path_factory.mktemp("platform"), options) as running:
        yield running


def one_mutation(
    platform: PlatformProcess, directory: Path, seed: int, edit: Callable[[Exchange], None]
) -> Simulated:
    """Two machines and a change for one of them, on a platform whose answers pass through `edit`."""
    with relay(platform.url) as between:
        between.edit = edit
        return simulated(
            environment(
                directory,
                DONMAI_DAEMON_TOKEN=platform.make_key("worker"),
                DONMAI_API_KEY=platform.make_key("admin"),
            ),
            *("--url", between.url, "--hosts", "2", "--for", "1", "--scenario", "mutations", "--share", "0.5"),
            *("--seed", str(seed)),
        )


@dataclass
class Meddler:
    """Remembers the first mutation that it sees on its way."""

    seen: list[JsonObject] = field(default_factory=list)

    def delivered(self, exchange: Exchange) -> list[JsonObject]:
        mutations = exchange.answer.get("pendingMutations") if exchange.is_beat else None
        assert mutations is None or isinstance(mutations, list)
        listed = [mutation for mutation in mutations or () if isinstance(mutation, dict)]
        self.seen += listed
        return listed


def test_an_honest_platform(platform: PlatformProcess, tmp_path: Path) -> None:
    """What is left alone on its way keeps every promise, with the interval that the platform has set."""
    run = one_mutation(platform, tmp_path, 1, lambda _exchange: None)
    assert (run.code, run.broken) == (0, []), run.errors
    assert run.report["intervalSeconds"] == 1


def test_a_change_under_two_ids(platform: PlatformProcess, tmp_path: Path) -> None:
    """A change that is delivered twice under different ids is made twice, and counted as doubled."""
    meddler = Meddler()

    def twice(exchange: Exchange) -> None:
        if listed := meddler.delivered(exchange):
            exchange.answer["pendingMutations"] = [*listed, {**listed[0], "id": "mut_another"}]

    run = one_mutation(platform, tmp_path, 2, twice)
    assert (run.code, run.broken) == (1, ["doubled"]), run.errors


def test_a_change_after_its_ack(platform: PlatformProcess, tmp_path: Path) -> None:
    """A change that comes again though its ack was accepted is made once, and noticed."""
    meddler = Meddler()

    def again(exchange: Exchange) -> None:
        meddler.delivered(exchange)
        if exchange.body.get("appliedMutations"):
            exchange.answer["pendingMutations"] = [*meddler.seen[:1]]

    run = one_mutation(platform, tmp_path, 5, again)
    assert (run.code, run.broken) == (1, ["afterAck"]), run.errors
