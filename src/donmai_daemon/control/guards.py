"""The checks that come before any route: Host, Origin, token. Pure; decided on the request's head alone."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from donmai_daemon.control.answer import Answer, refusal

SAFE_METHODS = frozenset({"GET", "HEAD"})
"""Methods that are open to local users."""

_AUTHORITY = re.compile(r"(?:\[([0-9A-Fa-f:]+)\]|([A-Za-z0-9.]+))(?::([1-9][0-9]{0,4}))?", re.ASCII)
_BEARER = re.compile(rb"Bearer ([!-~]+)")
_HTTP_PORT = 80


@dataclass(slots=True)
class Head:
    """The headers that decide something, each with every value that was sent."""

    hosts: list[bytes] = field(default_factory=list)
    origins: list[bytes] = field(default_factory=list)
    authorizations: list[bytes] = field(default_factory=list)
    content_type: bytes | None = None
    content_length: int | None = None
    chunked: bool = False
    expects_continue: bool = False

    @property
    def has_body(self) -> bool:
        return self.chunked or bool(self.content_length)

    @property
    def bearer(self) -> bytes | None:
        """What the one Authorization header presents; None where there is none, several, or one of another form."""
        if len(self.authorizations) != 1:
            return None
        match = _BEARER.fullmatch(self.authorizations[0])
        return match[1] if match else None


def read_head(headers: Iterable[tuple[bytes, bytes]]) -> Head:
    """Collect from `headers`, whose names are in lower case and whose lengths the HTTP parser has found good."""
    head = Head()
    for name, value in headers:
        if name == b"host":
            head.hosts.append(value)
        elif name == b"origin":
            head.origins.append(value)
        elif name == b"authorization":
            head.authorizations.append(value)
        elif name == b"content-type":
            head.content_type = value
        elif name == b"content-length":
            head.content_length = int(value)
        elif name == b"transfer-encoding":
            head.chunked = True
        elif name == b"expect":
            head.expects_continue = True
    return head


def check_host(head: Head, port: int) -> Answer | None:
    """A browser that was led here by a name of somebody else's (DNS rebinding) says so in Host."""
    if len(head.hosts) == 1 and is_own_authority(head.hosts[0], port):
        return None
    return refusal(403, "forbidden_host", "Host must be a loopback name or address with the daemon's port")


def check_origin(head: Head, port: int) -> Answer | None:
    """A page of somebody else's says so in Origin; our own page may come by any of our names."""
    for origin in head.origins:
        scheme, separator, authority = origin.partition(b"://")
        if not (separator and scheme.lower() == b"http" and is_own_authority(authority, port)):
            return refusal(403, "forbidden_origin", "requests from other origins are refused")
    return None


def check_method(method: str, trusted: bool) -> Answer | None:
    """Reading is open. Whatever else is asked needs the token, before it is said whether it exists."""
    if method in SAFE_METHODS:
        return None
    if method == "OPTIONS":
        return refusal(403, "forbidden_method", "OPTIONS is refused: no other origin may call this API")
    if trusted:
        return None
    challenge = ((b"www-authenticate", b"Bearer"),)
    return refusal(401, "unauthorized", "missing or invalid control token", challenge)


def is_own_authority(authority: bytes, port: int) -> bool:
    """Whether `host:port` is a loopback name or address with our port."""
    match = _AUTHORITY.fullmatch(authority.decode("latin-1"))
    if match is None or int(match[3] or _HTTP_PORT) != port:
        return False
    six, name = match[1], match[2]
    try:
        if six is not None:
            return int(IPv6Address(six)) == 1
        return name.lower() == "localhost" or IPv4Address(name).is_loopback
    except AddressValueError:
        return False
