"""Rules that a type cannot state: which addresses may be dialled, where the control API may listen."""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from donmai_daemon.model.config import Config
from donmai_daemon.settings.environment import variable
from donmai_daemon.settings.findings import Findings, suggestion


def check(config: Config, hidden: Collection[tuple[str, str]], ops: Collection[str], findings: Findings) -> None:
    """Check the sections with fixed keys. `hidden` are the keys an environment variable set, `ops` all there are."""
    rules = _Rules(hidden, findings)
    rules.platform_url(config.platform.url, config.platform.allow_insecure)
    rules.proxy(config.platform.proxy)
    if not is_loopback(config.control.host):
        rules.problem(
            ("control", "host"),
            "must be a loopback address",
            'use "127.0.0.1" or "::1": the control API is for this machine only',
        )
    for path, value in {
        ("platform", "token_file"): config.platform.token_file,
        ("platform", "ca_file"): config.platform.ca_file,
        ("control", "socket"): config.control.socket,
    }.items():
        if value is not None and not value.startswith("/"):
            findings.warning(path, "relative path, taken from the directory that the daemon is started in")
    for op in config.remote.ops:
        if op not in ops:
            findings.warning(("remote", "ops", op), f"no such operation{suggestion(op, ops)}")


def is_loopback(host: str) -> bool:
    """Whether `host` (a name, or an address with or without brackets) can only be this machine."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return False


class _Rules:
    """Blames the environment variable where one set the value."""

    def __init__(self, hidden: Collection[tuple[str, str]], findings: Findings) -> None:
        self._hidden = hidden
        self._findings = findings

    def problem(self, path: tuple[str, str], reason: str, hint: str | None = None) -> None:
        by = variable(*path) if path in self._hidden else None
        self._findings.problem(path, reason, hint=hint, variable=by)

    def platform_url(self, url: str | None, allow_insecure: bool) -> None:
        path = ("platform", "url")
        if url is None:
            return
        parts = _split(url)
        if parts is None:
            self.problem(path, "must be an http or https address", 'write it like "https://platform.example.com"')
        elif parts.username is not None or parts.password is not None:
            self.problem(path, "must not carry a user or a password", "the registration token goes into token_file")
        elif parts.query or parts.fragment:
            self.problem(path, "must not carry a query or a fragment", "leave out everything from ? or # on")
        elif parts.scheme == "http" and not allow_insecure and not is_loopback(parts.hostname or ""):
            self.problem(
                path,
                "http sends the tokens in clear and is accepted for loopback addresses only",
                "use https, or set allow_insecure = true in [platform] to accept the risk",
            )

    def proxy(self, url: str | None) -> None:
        if url is not None and _split(url) is None:
            self.problem(
                ("platform", "proxy"),
                "must be an http or https address",
                'write it like "http://proxy.example.com:3128"',
            )


def _split(url: str) -> SplitResult | None:
    """The parts of an http(s) URL with a host and a possible port, or None where it is none."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return None
    return parts if good and not any(character.isspace() for character in url) else None
