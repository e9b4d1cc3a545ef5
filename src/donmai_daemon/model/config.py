"""The configuration as the daemon uses it: plain frozen data, validated before it gets here.

One dataclass a section of the file, one field a key. The defaults here are the defaults of the product.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

AdmissionMode: TypeAlias = Literal["enumerated", "all-routed"]
Consent: TypeAlias = Literal["apply", "deny"]
LogFormat: TypeAlias = Literal["auto", "json", "console"]
LogLevel: TypeAlias = Literal["debug", "info", "warning", "error"]
AuthMode: TypeAlias = Literal["byok", "metered", "shared", "host-session", "local"]

AUTH_MODES: tuple[AuthMode, ...] = ("byok", "metered", "shared", "host-session", "local")
"""Every auth mode, in the default order of preference."""

WORKLOADS: frozenset[str] = frozenset(
    {
        "research", "backlog-creation", "backlog-groomer", "development", "inflight", "qa", "acceptance",
        "refinement", "refinement-coordination", "merge", "security", "improvement-loop", "outcome-auditor",
        "ga-readiness", "documentation-steward", "operational-scanner-vercel", "operational-scanner-audit",
        "operational-scanner-ci", "coordination", "inflight-coordination", "code-survival-scan",
        "kg-extraction", "interview",
    }
)  # fmt: skip
"""Workload names a model-access policy may be set for."""


@dataclass(frozen=True, slots=True)
class Machine:
    """`[machine]`. `id` None: derived from the operating system's machine id. `name` None: the host name."""

    id: str | None = None
    name: str | None = None
    region: str | None = None


@dataclass(frozen=True, slots=True)
class PlatformLink:
    """`[platform]`. `url` None: nothing to dial; the control API is served all the same."""

    url: str | None = None
    token_file: str | None = None
    allow_insecure: bool = False
    ca_file: str | None = None
    proxy: str | None = None


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """`[heartbeat]`. Seconds, 1 to 3600; a value from the platform wins."""

    interval_seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class Control:
    """`[control]`. `host` is a loopback address; `port` 0 picks a free one; `socket` None: `control.sock` in the state directory."""

    host: str = "127.0.0.1"
    port: int = 7734
    socket: str | None = None


@dataclass(frozen=True, slots=True)
class Capacity:
    """`[capacity]`. Concurrent sessions, 0 to 1000; 0 takes no work."""

    max_sessions: int = 8


@dataclass(frozen=True, slots=True)
class Admission:
    """`[admission]`. `enumerated`: only enabled projects; `all-routed`: whatever the platform routes here."""

    mode: AdmissionMode = "enumerated"


@dataclass(frozen=True, slots=True)
class Remote:
    """`[remote]`: the machine owner's consent, per operation. Never changeable from the platform."""

    default: Consent = "apply"
    ops: Mapping[str, Consent] = field(default_factory=dict)

    def consent(self, op: str) -> Consent:
        return self.ops.get(op, self.default)


@dataclass(frozen=True, slots=True)
class Agent:
    """`[agent]`. `command` is an argument list; empty: no agent configured."""

    command: tuple[str, ...] = ()
    drain_timeout_seconds: float = 600.0


@dataclass(frozen=True, slots=True)
class Log:
    """`[log]`. `auto`: console on a terminal, JSON elsewhere."""

    level: LogLevel = "info"
    format: LogFormat = "auto"


@dataclass(frozen=True, slots=True)
class Project:
    """`[projects.<id>]`. `repositories` as written in the file, in file order."""

    id: str
    enabled: bool = True
    repositories: tuple[str, ...] = ()
    primary: str | None = None


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of a model-access matrix: what one row says about one auth mode."""

    allowed: bool
    host: str | None = None
    model: str | None = None
    enforce: bool | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """One model-access policy: `matrix[<model> | <company> | "*"][<auth mode>]`."""

    matrix: Mapping[str, Mapping[AuthMode, Cell]] = field(default_factory=dict)
    auth_order: tuple[AuthMode, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelAccess:
    """`[model_access]`: the default policy, and one for each workload that has its own. Never merged."""

    default: Policy | None = None
    workloads: Mapping[str, Policy] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Config:
    """The whole effective configuration."""

    machine: Machine = Machine()
    platform: PlatformLink = PlatformLink()
    heartbeat: Heartbeat = Heartbeat()
    control: Control = Control()
    capacity: Capacity = Capacity()
    admission: Admission = Admission()
    remote: Remote = Remote()
    agent: Agent = Agent()
    log: Log = Log()
    projects: Mapping[str, Project] = field(default_factory=dict)
    model_access: ModelAccess = ModelAccess()

    @property
    def enabled_project_ids(self) -> list[str]:
        """Sorted ids of the projects whose work is allowed."""
        return sorted(project.id for project in self.projects.values() if project.enabled)
