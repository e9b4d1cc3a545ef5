"""What `donmai agent run` was told: arguments, environment, and nothing else."""

from __future__ import annotations

import ctypes
import json
import os
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from donmai_daemon.errors import UsageError
from donmai_daemon.model.config import PlatformLink
from donmai_daemon.model.secret import Secret, is_token
from donmai_daemon.sessions.work import is_session_id

DEFAULT_DAEMON_URL = "http://127.0.0.1:7734"
TOKEN_VARIABLES = ("DONMAI_SESSION_READ_TOKEN", "DONMAI_RUNTIME_JWT")
"""Where the bearer comes from, the first that is set. Neither is left for the agent to find."""

COMMAND_VARIABLE = "DONMAI_AGENT__COMMAND"


@dataclass(frozen=True, slots=True)
class AgentOptions:
    """One session to run. `link` says how to reach servers (trust, proxy); its `url` is the one the detail comes from.

    `environment` is what the agent inherits. `log` is the file behind standard error where the runner has to keep it
    small, None where somebody else does. `gated`: wait for a byte on standard input first.
    """

    session_id: str
    bearer: Secret
    link: PlatformLink
    worktrees: Path
    command: tuple[str, ...]
    mark: str
    environment: Mapping[str, str]
    log: Path | None = None
    gated: bool = False


def read_options(
    environ: MutableMapping[str, str],
    *,
    session_id: str | None,
    daemon_url: str | None,
    worktrees: str | None,
    command: Sequence[str],
    link: PlatformLink,
    new_mark: str,
) -> AgentOptions:
    """Combine arguments and environment; the bearers leave `environ`. Raises `UsageError`."""
    tokens = [(name, environ.pop(name, "")) for name in TOKEN_VARIABLES]
    session = session_id or environ.get("DONMAI_SESSION_ID", "")
    if not session:
        raise UsageError("no session: set DONMAI_SESSION_ID or give --session-id")
    if not is_session_id(session):
        raise UsageError("the session id may hold only letters, digits and . _ : - (200 at most)")
    variable, bearer = next(((name, token) for name, token in tokens if token), ("", ""))
    if not bearer:
        raise UsageError("no credential: set DONMAI_SESSION_READ_TOKEN or DONMAI_RUNTIME_JWT")
    if not is_token(bearer):
        raise UsageError(f"{variable} holds no token")
    if not command:
        raise UsageError(
            "no agent command",
            hint='set [agent] command in the configuration, or DONMAI_AGENT__COMMAND=["program"]',
        )
    environment = {name: value for name, value in environ.items() if name not in _OWN}
    return AgentOptions(
        session_id=session,
        bearer=Secret(bearer),
        link=PlatformLink(
            url=daemon_url or environ.get("DONMAI_DAEMON_URL") or DEFAULT_DAEMON_URL,
            allow_insecure=link.allow_insecure,
            ca_file=link.ca_file,
            proxy=link.proxy,
        ),
        worktrees=Path(worktrees or "worktrees").absolute(),
        command=tuple(command),
        mark=environ.get("DONMAI_SESSION_MARK") or new_mark,
        environment=environment,
        log=Path(environ["DONMAI_SESSION_LOG"]) if environ.get("DONMAI_SESSION_LOG") else None,
        gated=environ.get("DONMAI_START_GATE") == "stdin",
    )


_OWN = frozenset(
    {
        *TOKEN_VARIABLES, COMMAND_VARIABLE, "DONMAI_START_GATE", "DONMAI_SESSION_LOG", "DONMAI_PLATFORM__CA_FILE",
        "DONMAI_PLATFORM__PROXY", "DONMAI_PLATFORM__ALLOW_INSECURE", "DONMAI_API_KEY", "DONMAI_DAEMON_TOKEN",
        "WORKER_API_KEY",
    }
)  # fmt: skip
"""Variables that are the runner's and not the agent's: its own settings, and credentials of a wider reach."""


def command_from(environ: Mapping[str, str]) -> tuple[str, ...] | None:
    """The agent's command in the environment, None where there is none. Raises `UsageError`."""
    text = environ.get(COMMAND_VARIABLE)
    if not text:
        return None
    try:
        value: object = json.loads(text)
    except ValueError as error:
        raise UsageError(f'{COMMAND_VARIABLE} must be a JSON list of texts, like ["program"]') from error
    if not isinstance(value, list) or not all(
        isinstance(part, str) and part and "\0" not in part for part in value
    ):
        raise UsageError(f'{COMMAND_VARIABLE} must be a JSON list of texts, like ["program"]')
    return tuple(str(part) for part in value)


def link_from(environ: Mapping[str, str]) -> PlatformLink:
    """How to reach servers, from the variables the daemon sets for its runners. The URL is not among them."""
    return PlatformLink(
        ca_file=environ.get("DONMAI_PLATFORM__CA_FILE") or None,
        proxy=environ.get("DONMAI_PLATFORM__PROXY") or None,
        allow_insecure=environ.get("DONMAI_PLATFORM__ALLOW_INSECURE", "").lower() in {"1", "true", "yes", "on"},
    )


def blot_out(names: Sequence[str]) -> None:
    """Overwrite the values of this process's variables in place; `os.environ` keeps its own copies.

    Unsetting is not enough: `/proc/<pid>/environ` goes on showing the block that the process was started with, and the
    agent may read it. Call before these variables are changed or unset.
    """
    libc = ctypes.CDLL(None)
    libc.getenv.restype = ctypes.c_void_p
    for name in names:
        address = libc.getenv(os.fsencode(name))
        if address:
            ctypes.memset(address, 0, len(ctypes.string_at(address)))
