"""What to clone: a repository as the platform named it, checked, with its credential taken out of the URL."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from donmai_daemon.errors import DonmaiError
from donmai_daemon.model.secret import Secret

_SCP = re.compile(r"(?:[A-Za-z0-9._-]+@)?[A-Za-z0-9._-]+:(?!/?/)[^\s].*")
_SCHEMES = frozenset({"https", "http", "ssh"})
_REF = re.compile(r"[^\s~^:?*\[\\\x00-\x1f\x7f]+")


class RepositoryRefused(DonmaiError):  # noqa: N818 - conditions are named as conditions
    """The work names something that is not cloned here. The message shows no credential."""

    code = "repository_refused"


@dataclass(frozen=True, slots=True)
class Repository:
    """`url` holds no credential; `username` and `password` are what its userinfo held, None: nothing."""

    url: str
    username: str | None = None
    password: Secret | None = field(default=None)

    @property
    def origin(self) -> str:
        """Scheme and host: what the credential is for."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"


def read_repository(text: str) -> Repository:
    """Accepts https, http, ssh and scp-like git URLs and absolute local paths. Raises `RepositoryRefused`.

    A local path becomes a `file:` URL, because git ignores a depth for plain paths.
    """
    if text.startswith("-") or not text.isprintable() or text != text.strip():
        raise RepositoryRefused("the repository cannot be a git URL")
    if text.startswith("/"):
        return Repository("file://" + quote(str(PurePosixPath(text))))
    if "::" in text.partition("/")[0]:
        raise RepositoryRefused("git remote helpers (name::address) are not run")
    scheme, separator, _ = text.partition("://")
    if not separator:
        if _SCP.fullmatch(text):
            return Repository(text)
        raise RepositoryRefused(f'"{text[:100]}" is no git URL and no absolute path')
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise RepositoryRefused("the repository is not a URL") from error
    if scheme.lower() not in _SCHEMES or not host or host.startswith("-"):
        raise RepositoryRefused(f"{scheme[:20]}: is not cloned; use https, ssh, or an absolute path")
    if scheme.lower() == "ssh":
        if parts.password is not None:
            raise RepositoryRefused("an ssh URL cannot carry a password")
        if (parts.username or "").startswith("-"):
            raise RepositoryRefused("the repository cannot be a git URL")
        return Repository(text)
    username, password = (None if part is None else unquote(part) for part in (parts.username, parts.password))
    if not f"{username}{password}".isprintable():
        raise RepositoryRefused("the repository's credential has control characters")
    bare = f"[{host}]" if ":" in host else host
    netloc = bare if port is None else f"{bare}:{port}"
    return Repository(
        urlunsplit((parts.scheme, netloc, parts.path, parts.query, "")),
        username,
        Secret(password) if password is not None else None,
    )


def check_ref(ref: str) -> str:
    """A branch, tag, full ref name or commit id. Raises `RepositoryRefused` for what could be an option or a refspec."""
    if not _REF.fullmatch(ref) or ref.startswith(("-", "+")) or ".." in ref or "@{" in ref or len(ref) > 512:
        raise RepositoryRefused("ref is not the name of a branch, tag or commit")
    return ref
