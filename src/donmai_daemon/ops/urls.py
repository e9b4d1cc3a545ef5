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
_HELPER = re.compile(r"[^\[\]@]*::")  # `ext::…`: git would run a program of that name
_SCHEMES = {"file", "ext", "fd", "http", "https", "ssh", "git", "ftp", "ftps", "data"}
_NOT_ACCEPTED = "must be an https, ssh or scp-like git URL"
_PASSWORD = "must not carry a password"  # noqa: S105 - the text of an error


def problem(url: str) -> str | None:
    """What is wrong with `url` as the URL of a repository, None where nothing is. Never repeats the URL."""
    url = url.strip()
    if not url:
        return "must not be empty"
    if url.startswith("-"):
        return 'must not begin with "-"'
    if re.search(r"[\s\\]", url) or not url.isprintable():
        return "must not contain blanks, backslashes or control characters"
    if "://" in url:
        match = _WITH_SCHEME.fullmatch(url)
        accepted = match is not None and match["scheme"].lower() in {"https", "ssh"}
    else:
        match = None if _HELPER.match(url) else _SCP_LIKE.fullmatch(url)
        if match is not None and match["user"] is None and "@" in match["path"].partition("/")[0]:
            return _PASSWORD
        # `file:…` and `C:…` look like host:path, and are not what anyone means by a host.
        accepted = match is not None and (match["user"] is not None or _is_host_name(match["host"]))
    if match is None or not accepted:
        return _NOT_ACCEPTED
    user, path = match["user"] or "", match["path"].strip("/")
    if ":" in user:
        return _PASSWORD
    if not _HOST.fullmatch(match["host"]) or user.startswith("-") or not path or path[0] in "-:":
        return _NOT_ACCEPTED
    return None


def is_path(repository: str) -> bool:
    """Is it an absolute path of this machine?"""
    return repository.startswith("/")


def _is_host_name(text: str) -> bool:
    return len(text) > 1 and text.lower() not in _SCHEMES


def normalise(url: str) -> str:
    """The form in which URLs of one repository are equal: host and path in lower case, no `/` or `.git` at the end."""
    scheme, separator, rest = url.strip().partition("://")
    if not separator:
        scheme, rest = "", scheme
    authority = rest.partition("/" if separator else ":")[0]
    user, at, _ = authority.rpartition("@")
    place = rest[len(user) + len(at) :].lower().rstrip("/").removesuffix(".git").rstrip("/")
    return f"{scheme.lower()}{separator}{user}{at}{place}"


def repository_id(project_id: str, url: str) -> str:
    """`repo-` and twelve hexadecimal digits, the same on every machine."""
    sha = hashlib.sha256(project_id.encode() + b"\0" + normalise(url).encode())
    return f"repo-{sha.hexdigest()[:12]}"
