"""The one place where the platform's parts meet."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.applications import Starlette

from donmai_daemon.clock import Clock
from donmai_daemon.platform.http.admin_routes import AdminRoutes
from donmai_daemon.platform.http.app import build_app
from donmai_daemon.platform.http.credentials import Credentials
from donmai_daemon.platform.http.limits import RateLimiter
from donmai_daemon.platform.http.meta_routes import MetaRoutes
from donmai_daemon.platform.http.metrics import Metrics
from donmai_daemon.platform.http.worker_routes import WorkerRoutes
from donmai_daemon.platform.identifiers import Names
from donmai_daemon.platform.service.beats import Beats
from donmai_daemon.platform.service.hosts import Hosts
from donmai_daemon.platform.service.keys import Keys
from donmai_daemon.platform.service.mutations import Mutations
from donmai_daemon.platform.service.registration import Registration
from donmai_daemon.platform.service.tokens import Tokens
from donmai_daemon.platform.service.wakeups import LocalWakeups
from donmai_daemon.platform.settings import ServeSettings
from donmai_daemon.platform.store.ports import Store


@dataclass(frozen=True, slots=True)
class Platform:
    """A platform ready to be served: the application, and what its server must do around it."""

    app: Starlette
    beats: Beats
    tokens: Tokens


def assemble(store: Store, wakeups: LocalWakeups, settings: ServeSettings, clock: Clock, names: Names) -> Platform:
    """Join the parts."""
    metrics = Metrics()
    keys = Keys(store, clock, names)
    tokens = Tokens(store, clock, names, settings.token_ttl)
    credentials = Credentials(keys, tokens, RateLimiter(settings.rate_limit, clock.monotonic))
    beats = Beats(store, wakeups, clock, settings.heartbeat_interval)
    metrics.gauge("donmai_platform_held_beats", "Beats held right now.", lambda: beats.held)
    hosts = Hosts(store, wakeups, clock, settings.heartbeat_interval)
    mutations = Mutations(store, wakeups, clock, names)
    registration = Registration(store, tokens, clock, names)
    endpoints = (
        *WorkerRoutes(credentials, registration, beats, settings).endpoints(),
        *AdminRoutes(credentials, mutations, hosts, keys).endpoints(),
        *MetaRoutes(store, metrics).endpoints(),
    )
    return Platform(build_app(endpoints, names, metrics), beats, tokens)
