"""What Prometheus is told: read with Prometheus' own parser (2.7)."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.platform.conftest import StoreKind, make_org, platform_on
from tests.platform.test_held_beats import holding
from tests.support.platform import PlatformProcess
from tests.support.servers import Servers, own_servers
from tests.support.waiting import eventually

_FRESH = 5.0


class Numbers:
    """One answer of `/metrics`."""

    def __init__(self, text: str) -> None:
        self.families = {family.name: family for family in text_string_to_metric_families(text)}

    def value(self, name: str, **labels: str) -> float:
        """One sample; 0 where a counter has not begun."""
        found = [
            sample.value
            for family in self.families.values()
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]
        assert len(found) <= 1, f"{name} {labels}: {found}"
        return found[0] if found else 0.0


def numbers_of(platform: PlatformProcess) -> Numbers:
    """What the process says now."""
    return Numbers(platform.call("GET", "/metrics").text)


def fleet_of(platform: PlatformProcess, seen: Callable[[Numbers], bool]) -> Numbers:
    """The same, once the numbers that are read from the store at most every five seconds are as they must be."""
    return eventually(lambda: now if seen(now := numbers_of(platform)) else None, 4 * _FRESH, every=0.1)


@pytest.fixture
def alone(store: StoreKind, tmp_path: Path) -> Iterator[PlatformProcess]:
    """A platform that nobody else uses, whose hosts are stale after 0.9 s and offline after 3."""
    with platform_on(store, tmp_path, "--heartbeat-interval", "0.3", "--rate-limit", "100000") as running:
        yield running


def test_every_family_is_described(alone: PlatformProcess) -> None:
    """Every metric has a description and a type, counters end in `_total`, times are in seconds, and none is there twice."""
    alone.beat(alone.register(alone.make_key("worker")))
    answer = alone.call("GET", "/metrics")
    families = list(text_string_to_metric_families(answer.text))
    assert len({family.name for family in families}) == len(families) >= 14
    for family in families:
        assert family.documentation, family.name
        assert family.type in ("counter", "gauge", "histogram"), family.name
        assert family.samples or family.name.endswith(("transitions", "beat_duration_seconds")), family.name
        if family.type == "counter":
            assert all(sample.name.endswith("_total") for sample in family.samples)


def test_requests_and_their_durations(alone: PlatformProcess) -> None:
    """Requests count by operation and status, unknown routes and methods too, and each has a duration; held beats apart."""
    worker = alone.register(alone.make_key("worker"))
    for _ in range(3):
        alone.beat(worker)
    alone.beat(worker, wait=1)
    alone.call("GET", "/nothing")
    alone.call("PUT", "/api/daemon/hosts")
    alone.call("GET", "/api/daemon/hosts")
    now = numbers_of(alone)
    requests = "donmai_platform_http_requests_total"
    assert now.value(requests, operation="heartbeat", status="200") == 4
    assert now.value(requests, operation="none", status="404") == 1
    assert now.value(requests, operation="none", status="405") == 1
    assert now.value(requests, operation="listHosts", status="401") == 1
    for name, count in (("http_request", 3), ("held_beat", 1)):
        duration = f"donmai_platform_{name}_duration_seconds"
        assert now.value(f"{duration}_count", operation="heartbeat") == count
        assert now.value(f"{duration}_bucket", operation="heartbeat", le="+Inf") == count
        assert now.value(f"{duration}_sum", operation="heartbeat") > 0


def test_the_way_of_a_mutation(alone: PlatformProcess) -> None:
    """Each transition counts once, a redelivery not again; what is not settled is counted at the store."""
    org = make_org(alone, "acme")
    worker = alone.register(org.worker)
    kept, failed, withdrawn = (str(alone.enqueue(org.admin, worker.host_id)["id"]) for _ in range(3))
    alone.cancel(org.admin, withdrawn)
    fleet_of(alone, lambda now: now.value("donmai_platform_mutations", status="pending") == 2)
    alone.beat(worker)
    alone.beat(worker)
    fleet_of(alone, lambda now: now.value("donmai_platform_mutations", status="delivered") == 2)
    alone.beat(worker, appliedMutations=[kept, "mut_none"], mutationFailures=[{"id": failed, "error": "no"}])
    now = fleet_of(alone, lambda now: now.value("donmai_platform_mutations", status="delivered") == 0)
    transitions: Mapping[str, int] = {"pending": 3, "delivered": 2, "applied": 1, "failed": 1, "cancelled": 1}
    told = {to: now.value("donmai_platform_mutation_transitions_total", status=to) for to in transitions}
    assert told == transitions


def test_hosts_by_status_and_work(alone: PlatformProcess) -> None:
    """A host is online, then stale, then offline; sessions are queued, then claimed; a removed host is none."""
    org = make_org(alone, "acme")
    first, second = alone.register(org.worker, "one"), alone.register(org.worker, "two")
    alone.beat(first)
    for _ in range(2):
        alone.call("POST", "/api/sessions", org.member, {"projectId": "p"})
    alone.call("GET", f"/api/workers/{first.worker_id}/poll", first.token)
    alone.call("POST", "/api/sessions", org.member, {"projectId": "p"})

    def states(now: Numbers) -> list[float]:
        return [now.value("donmai_platform_hosts", status=s) for s in ("online", "stale", "offline")]

    waiting = fleet_of(alone, lambda now: now.value("donmai_platform_sessions", state="claimed") == 2)
    assert waiting.value("donmai_platform_sessions", state="queued") == 1
    assert sum(states(waiting)) == 2
    fleet_of(alone, lambda now: states(now) == [0, 0, 2])
    alone.beat(first)
    alone.operated("host", "remove", second.host_id)
    fleet_of(alone, lambda now: sum(states(now)) == 1)

    def beats_on(now: Numbers) -> bool:
        alone.beat(first)
        return states(now) == [1, 0, 0]

    fleet_of(alone, beats_on)


def test_held_beats_and_the_process(alone: PlatformProcess) -> None:
    """Beats that are held now are counted, and the process tells what every Prometheus client tells of its own."""
    worker = alone.register(alone.make_key("worker"))
    alone.beat(worker)
    before = numbers_of(alone)
    assert before.value("donmai_platform_held_beats") == 0
    assert before.value("donmai_platform_store_up") == 1
    assert before.value("donmai_platform_store_errors_total") == 0
    with holding(alone, worker):
        assert numbers_of(alone).value("donmai_platform_held_beats") == 1
    assert before.value("process_cpu_seconds_total") > 0
    assert before.value("process_resident_memory_bytes") > 1e6
    assert 5 < before.value("process_open_fds") < before.value("process_max_fds")
    assert time.time() - before.value("process_start_time_seconds") < 600


def test_a_store_that_is_down_is_told(tmp_path: Path) -> None:
    """While a server is away, requests that it refuses are counted, its numbers are gone rather than old, and they come back."""
    with own_servers() as (postgres, redis):
        options = Servers(postgres.url, redis.url).new_store()
        with PlatformProcess(options, tmp_path / "log") as platform:
            worker = platform.register(platform.make_key("worker"))
            fleet_of(platform, lambda now: now.value("donmai_platform_hosts", status="offline") == 1)
            redis.process.end(signal.SIGKILL)
            assert platform.beat(worker).status == 503
            down = fleet_of(platform, lambda now: now.value("donmai_platform_store_up") == 0)
            assert down.value("donmai_platform_store_errors_total") >= 1
            assert "donmai_platform_hosts" not in down.families
            redis.process.start()
            fleet_of(platform, lambda now: now.value("donmai_platform_store_up") == 1)
