"""Who this machine is to the platform: the registration token it begins with, and what it got for it, kept on disk."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeAlias

import structlog

from donmai_daemon.clock import parse_rfc3339, rfc3339
from donmai_daemon.errors import ConfigInvalid
from donmai_daemon.link.answer import read_json
from donmai_daemon.model.config import PlatformLink
from donmai_daemon.model.json import Json, JsonObject, text_or_none
from donmai_daemon.model.registration import MAX_INTERVAL_SECONDS
from donmai_daemon.model.secret import Secret, is_token

TOKEN_VARIABLE = "DONMAI_DAEMON_TOKEN"  # noqa: S105 - the name of the variable
SYSTEMD_CREDENTIAL = "donmai-token"

_MAX_FILE_BYTES = 64 * 1024
_LONG_LIFETIME, _MARGIN = 25 * 60.0, 5 * 60.0
_MIN_DELAY = 1.0

WritePrivate: TypeAlias = Callable[[Path, bytes], None]
"""Replace a file atomically and durably, mode 0600. Blocking; raises `OSError`."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a request of a worker carries."""

    worker_id: str
    runtime_token: Secret


@dataclass(frozen=True, slots=True)
class Binding:
    """What credentials are good for. Under another platform, token or machine they are somebody else's."""

    platform_url: str
    token_digest: str
    machine_id: str


@dataclass(frozen=True, slots=True)
class Grant:
    """Credentials and everything that came with them. Intervals are seconds, None where the platform named none."""

    credentials: Credentials
    binding: Binding
    issued_at: datetime
    expires_at: datetime | None
    worker_host_id: str | None = None
    heartbeat_interval: float | None = None
    poll_interval: float | None = None
    held_beats: bool = False

    def expired(self, now: datetime) -> bool:
        return self.expires_at is not None and self.expires_at <= now

    def refresh_in(self, now: datetime, rng: random.Random) -> float | None:
        """Seconds until the refresh ahead of the expiry; None: there is none, a 401 will tell.

        Five minutes ahead, or a fifth of the lifetime where that is below 25 minutes; and up to 5 % of the lifetime
        (3 minutes at most) earlier, so that machines that registered together do not refresh together.
        """
        if self.expires_at is None:
            return None
        lifetime = (self.expires_at - self.issued_at).total_seconds()
        if lifetime <= 0:  # by our clock it arrived expired: our clock is wrong and no help here
            return None
        margin = _MARGIN if lifetime >= _LONG_LIFETIME else lifetime / 5
        early = rng.random() * min(lifetime / 20, 180.0)
        return max((self.expires_at - now).total_seconds() - margin - early, _MIN_DELAY)


class CredentialsCache:
    """`credentials.json` in the state directory. Blocking; one caller at a time."""

    def __init__(self, path: Path, write_private: WritePrivate) -> None:
        self._path = path
        self._write_private = write_private
        self._log = structlog.get_logger("link")

    def load(self, binding: Binding) -> Grant | None:
        """The grant kept for `binding`; None where there is none, it is bound otherwise, or the file makes no sense."""
        try:
            with self._path.open("rb") as file:
                data = file.read(_MAX_FILE_BYTES + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            self._log.warning("credentials.unreadable", reason=error.strerror)
            return None
        grant = _read(data)
        if grant is None:
            self._log.warning("credentials.corrupt")
            return None
        if grant.binding != binding:
            self._log.info("credentials.bound_otherwise", worker_id=grant.credentials.worker_id)
            return None
        return grant

    def save(self, grant: Grant) -> None:
        """Keep `grant`; on disk when this returns. Raises `OSError`."""
        self._write_private(self._path, json.dumps(_to_json(grant), indent=1).encode())


def read_registration_token(
    environ: Mapping[str, str], platform: PlatformLink, credentials_directory: Path | None
) -> Secret | None:
    """The registration token: `DONMAI_DAEMON_TOKEN`, else `[platform] token_file`, else the systemd credential.

    None where none of them is set. A place that is set and holds nothing usable raises `ConfigInvalid`: going on to the
    next one would register this machine with a token that nobody meant. Blocking: reads files.
    """
    if environ.get(TOKEN_VARIABLE, "").strip():
        return _checked(environ[TOKEN_VARIABLE], TOKEN_VARIABLE)
    if platform.token_file is not None:
        return _checked(_read_text(Path(platform.token_file), "platform.token_file"), "platform.token_file")
    if credentials_directory is not None and (credentials_directory / SYSTEMD_CREDENTIAL).exists():
        named = f"credential {SYSTEMD_CREDENTIAL}"
        return _checked(_read_text(credentials_directory / SYSTEMD_CREDENTIAL, named), named)
    return None


def _read_text(path: Path, key: str) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_FILE_BYTES).decode("utf-8-sig")
    except OSError as error:
        raise ConfigInvalid(f"cannot be read: {error.strerror}", key=key) from error
    except UnicodeDecodeError as error:
        raise ConfigInvalid("is not text", key=key) from error


def _checked(text: str, key: str) -> Secret:
    token = text.strip()
    if not is_token(token):
        raise ConfigInvalid("holds no token" if not token else "holds characters that no token has", key=key)
    return Secret(token)


def _to_json(grant: Grant) -> JsonObject:
    return {
        "version": 1,
        "platformUrl": grant.binding.platform_url,
        "tokenDigest": grant.binding.token_digest,
        "machineId": grant.binding.machine_id,
        "workerId": grant.credentials.worker_id,
        "workerHostId": grant.worker_host_id,
        "runtimeToken": grant.credentials.runtime_token.reveal(),
        "issuedAt": rfc3339(grant.issued_at),
        "expiresAt": rfc3339(grant.expires_at) if grant.expires_at is not None else None,
        "heartbeatIntervalSeconds": grant.heartbeat_interval,
        "pollIntervalSeconds": grant.poll_interval,
        "heldBeats": grant.held_beats,
    }


def _read(data: bytes) -> Grant | None:
    try:
        fields = read_json(data)
    except ValueError:
        return None
    if not isinstance(fields, dict) or fields.get("version") != 1:
        return None
    url, digest, machine = (text_or_none(fields, name) for name in ("platformUrl", "tokenDigest", "machineId"))
    worker_id, token, issued = (text_or_none(fields, name) for name in ("workerId", "runtimeToken", "issuedAt"))
    issued_at = parse_rfc3339(issued) if issued is not None else None
    if url is None or digest is None or machine is None or not worker_id or issued_at is None:
        return None
    if token is None or not is_token(token):
        return None
    expires = text_or_none(fields, "expiresAt")
    return Grant(
        credentials=Credentials(worker_id, Secret(token)),
        binding=Binding(url, digest, machine),
        issued_at=issued_at,
        expires_at=parse_rfc3339(expires) if expires is not None else None,
        worker_host_id=text_or_none(fields, "workerHostId"),
        heartbeat_interval=_positive(fields.get("heartbeatIntervalSeconds")),
        poll_interval=_positive(fields.get("pollIntervalSeconds")),
        held_beats=fields.get("heldBeats") is True,
    )


def _positive(value: Json) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        return None
    return float(min(value, MAX_INTERVAL_SECONDS))
