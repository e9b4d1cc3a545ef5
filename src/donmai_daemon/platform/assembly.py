"""The one place where the platform's parts meet."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.types import ASGIApp

from donmai_daemon.clock import Clock
from donmai_daemon.platform.http.admin_routes import AdminRoutes
from donmai_daemon.platform.http.app import App
from donmai_daemon.platform.http.credentials import Credentials
from donmai_daemon.platform.http.fleet import Fleet
from donmai_daemon.platform.http.limits import RateLimiter
from donmai_daemon.platform.http.meta_routes import MetaRoutes
from donmai_daemon.platform.http.metrics import Metrics
from donmai_daemon.platform.http.work_routes import WorkRoutes
from donmai_daemon.platform.http.worker_routes import WorkerRoutes
from donmai_daemon.platform.identifiers import Names
from donmai_daemon.platform.service.beats import Beats
from donmai_daemon.platform.service.details import Details, Legacy
from donmai_daemon.platform.service.dispatch import Dispatch
from donmai_daemon.platform.service.hosts import Hosts
from donmai_daemon.platform.service.keys import Keys
from donmai_daemon.platform.service.mutations import Mutations
from donmai_daemon.platform.service.queue import Queue
from donmai_daemon.platform.service.registration import Registration
from donmai_daemon.platform.service.sessions import Sessions
from donmai_daemon.platform.service.tokens import Tokens
from donmai_daemon.platform.settings import ServeSettings
from donmai_daemon.platform.store.ports import Store
from donmai_daemon.platform.wakeups import LocalWakeups


@dataclass(frozen=True, slots=True)
class Platform:
    """A platform ready to be served: the application, and what its server must do around it."""

    app: ASGIApp
    beats: Beats
    dispatch: Dispatch
    tokens: Tokens


def assemble(store: Store, wakeups: LocalWakeups, settings: ServeSettings, clock: Clock, names: Names) -> Platform:
    """Join the parts."""
    metrics = Metrics()
    transitions = metrics.counter(
        "donmai_platform_mutation_transitions_total",
        "Mutations that came into this status through this process; an outcome told twice counts twice.",
        "status",
    )
    keys = Keys(store, clock, names)
    tokens = Tokens(store, clock, names, settings.token_ttl)
    credentials = Credentials(keys, tokens, RateLimiter(settings.rate_limit, clock.monotonic))
    beats = Beats(store, wakeups, clock, settings.heartbeat_interval, transitions.add)
    metrics.gauge("donmai_platform_held_beats", "Beats held right now.", lambda: beats.held)
    hosts = Hosts(store, wakeups, clock, settings.heartbeat_interval)
    mutations = Mutations(store, wakeups, clock, names, transitions.add)
    registration = Registration(store, tokens, wakeups, clock, names)
    legacy = None
    if settings.legacy_key is not None and settings.legacy_org is not None:
        legacy = Legacy(settings.legacy_key, settings.legacy_org)
    queue = Queue(store, wakeups, clock, names)
    dispatch = Dispatch(store, wakeups, clock, names, settings.leases)
    sessions = Sessions(store, clock, names, settings.leases)
    details = Details(store, tokens, names, settings.public_url, legacy)
    endpoints = (
        *WorkerRoutes(credentials, registration, beats, settings).endpoints(),
        *WorkRoutes(credentials, queue, dispatch, sessions, details).endpoints(),
        *AdminRoutes(credentials, mutations, hosts, keys).endpoints(),
    )
    endpoints += tuple(MetaRoutes(store, metrics, Fleet(hosts, clock.monotonic)).endpoints(endpoints))
    return Platform(App(endpoints, names, metrics), beats, dispatch, tokens)
