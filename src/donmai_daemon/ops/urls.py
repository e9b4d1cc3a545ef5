"""Git URLs: which are accepted, when two are the same, and the id a repository has."""

from __future__ import annotations

import hashlib
import re

_WITH_SCHEME = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?:(?P<user>[^/@]*)@)?(?P<host>\[[0-9A-Fa-f:.]+\]|[^/:@\[\]]*)"
    r"(?::(?P<port>\d*))?/(?P<path>.*)"
)
_SCP_LIKE = re.compile(r"(?:(?P<user>[^@:/]+)@)?(?P<host>\[[0-9A-Fa-f:.]+\]|[^/:@\[\]]+):(?P<path>.*)")
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?\.?|\[[0-9A-Fa-f:.]+\]")
_NO_HOSTS = {"file", "ext", "fd", "http", "https", "ssh", "git", "ftp", "ftps", "data"}
_NOT_ACCEPTED = "must be an https, ssh or scp-like git URL"


def problem(url: str) -> str | None:
    """What is wrong with `url` as the URL of a repository, None where nothing is. Never repeats the URL."""
    url = url.strip()
    if not url:
        return "must not be empty"
    if url.startswith("-"):
        return 'must not begin with "-"'
    if re.search(r"[\s\\]", url) or not url.isprintable():
        return "must not contain blanks, backslashes or control characters"
    match = _WITH_SCHEME.fullmatch(url)
    if match is not None:
        if match["scheme"].lower() not in {"https", "ssh"}:
            return _NOT_ACCEPTED
    else:
        match = None if "://" in url or "::" in url.partition("[")[0] else _SCP_LIKE.fullmatch(url)
        # `file:…` and `C:…` look like host:path, and are not what anyone means by a host.
        if match is None or (
            match["user"] is None and (match["host"].lower() in _NO_HOSTS or len(match["host"]) == 1)
        ):
            return _NOT_ACCEPTED
        if "@" in match["path"].partition("/")[0] and match["user"] is None:
            return "must not carry a password"
    user = match["user"] or ""
    if ":" in user:
        return "must not carry a password"
    path = match["path"].strip("/")
    if not _HOST.fullmatch(match["host"]) or user.startswith("-") or not path or path.startswith("-"):
        return _NOT_ACCEPTED
    return None


def normalise(url: str) -> str:
    """The form in which URLs of one repository are equal: host and path in lower case, no `/` or `.git` at the end."""
    scheme, separator, rest = url.strip().partition("://")
    if not separator:
        scheme, rest = "", scheme
    user, at, place = rest.partition("@") if "@" in rest.partition("/")[0] else ("", "", rest)
    place = place.lower().rstrip("/").removesuffix(".git").rstrip("/")
    return f"{scheme.lower()}{separator}{user}{at}{place}"


def repository_id(project_id: str, url: str) -> str:
    """`repo-` and twelve hexadecimal digits, the same on every machine."""
    sha = hashlib.sha256(project_id.encode() + b"\0" + normalise(url).encode())
    return f"repo-{sha.hexdigest()[:12]}"
