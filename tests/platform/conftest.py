"""The platform under test: a real process for each kind of store, shared by the tests of one module."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support.platform import PlatformProcess, TestWorker
from tests.support.servers import Servers
from tests.support.servers import servers as running_servers

STORES = ("sqlite", "scaled")


@dataclass(frozen=True)
class Org:
    """An organisation and its keys."""

    name: str
    owner: str
    admin: str
    member: str
    worker: str


@dataclass(frozen=True)
class StoreKind:
    """The kind of store under test; the embedded one needs no servers."""

    servers: Servers | None

    @property
    def embedded(self) -> bool:
        return self.servers is None

    def options(self, directory: Path) -> list[str]:
        """An empty store: the options of `donmai platform` that name it."""
        return ["--data-dir", str(directory / "platform")] if self.servers is None else self.servers.new_store()


def platform_on(
    store: StoreKind, directory: Path, *options: str, environ: Mapping[str, str] | None = None
) -> PlatformProcess:
    """A platform on an empty store of the kind, not yet started."""
    return PlatformProcess(store.options(directory), directory / "platform.log", options, environ)


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """PostgreSQL and Redis, for all tests of this process."""
    with running_servers(os.environ) as running:
        yield running


@pytest.fixture(scope="module", params=STORES)
def store(request: pytest.FixtureRequest) -> StoreKind:
    """The kind of store. The servers are started by the first test that needs them."""
    return StoreKind(None if request.param == "sqlite" else request.getfixturevalue("servers"))


@pytest.fixture(scope="module")
def platform(store: StoreKind, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlatformProcess]:
    """A platform that serves, with a rate limit out of the way."""
    with platform_on(store, tmp_path_factory.mktemp("platform"), "--rate-limit", "100000") as running:
        yield running


def make_org(platform: PlatformProcess, name: str) -> Org:
    """A new organisation: its owner's key from the operator, the others from the owner."""
    owner = platform.make_key("owner", name)
    made = {
        role: platform.call("POST", f"/api/org/{name}/keys", owner, {"role": role}).object_of("key")["fullKey"]
        for role in ("admin", "member", "worker")
    }
    return Org(name, owner, str(made["admin"]), str(made["member"]), str(made["worker"]))


@pytest.fixture(scope="module")
def org(platform: PlatformProcess) -> Org:
    """The organisation that the tests work in."""
    return make_org(platform, "acme")


@pytest.fixture(scope="module")
def other_org(platform: PlatformProcess) -> Org:
    """Another one, whose things must not be seen."""
    return make_org(platform, "umbrella")


@pytest.fixture
def worker(platform: PlatformProcess, org: Org, request: pytest.FixtureRequest) -> TestWorker:
    """A machine of its own for each test."""
    return platform.register(org.worker, machine=f"machine-of-{request.node.name}"[:200])
