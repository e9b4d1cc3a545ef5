"""The platform's admin API, as `donmai mutation` calls it with an API key."""

from __future__ import annotations

import json
import ssl
from http.client import HTTPException
from typing import TYPE_CHECKING, NoReturn
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

from donmai_daemon import __version__
from donmai_daemon.errors import (
    DonmaiError,
    PlatformAnswerInvalid,
    PlatformRefused,
    PlatformUnreachable,
    UsageError,
    WrongState,
)
from donmai_daemon.model.json import text_or_none

if TYPE_CHECKING:
    from collections.abc import Mapping
    from http.client import HTTPMessage
    from typing import IO

    from donmai_daemon.model.json import Json, JsonObject

_SECONDS = 15.0
_MAX_BYTES = 32 * 1024 * 1024
_LOOPBACK = frozenset({"localhost", "::1"})


class AdminClient:
    """One platform, one key. The key goes to that origin only: redirects are not followed."""

    def __init__(self, url: str, key: str, *, allow_insecure: bool) -> None:
        """Raises `UsageError` for a URL that is not http(s), or plain http beyond this machine without `allow_insecure`."""
        parts = urlsplit(url)
        host = parts.hostname or ""
        if parts.scheme not in ("http", "https") or not host:
            raise UsageError(f"not an http(s) URL: {url}")
        local = is_loopback(host)
        if parts.scheme == "http" and not local and not allow_insecure:
            raise UsageError(
                f"{url} would send the API key in clear text",
                hint="use https, or say --allow-insecure if you mean it",
            )
        self.url = url.rstrip("/")
        self._key = key
        handlers = [_NoRedirect(), ProxyHandler({})] if local else [_NoRedirect()]
        self._opener = build_opener(*handlers)

    def hosts(self) -> list[JsonObject]:
        """Every machine of the key's organisation. Raises `PlatformUnreachable`, `PlatformRefused`, `PlatformAnswerInvalid`."""
        return self._list("/api/daemon/hosts", "hosts")

    def mutations(self, host_id: str, limit: int) -> list[JsonObject]:
        """Newest first; raises as `hosts` does."""
        return self._list(
            f"/api/daemon/mutations?workerHostId={quote(host_id, safe='')}&limit={limit}", "mutations"
        )

    def enqueue(self, order: Mapping[str, Json]) -> JsonObject:
        """The mutation as the platform stored it; raises as `hosts` does."""
        return _mutation(self._call("POST", "/api/daemon/mutations", order))

    def cancel(self, mutation_id: str) -> JsonObject:
        """What the platform said; a 409, which says why it cannot be cancelled any more, is an answer too."""
        try:
            return self._call("DELETE", f"/api/daemon/mutations/{quote(mutation_id, safe='')}", None)
        except _Answered as refusal:
            if refusal.status == 409 and refusal.payload.get("cancelled") is False:
                return refusal.payload
            raise

    def undo(self, mutation_id: str) -> JsonObject:
        """The mutation that was queued to take this one back. Raises `WrongState` where nothing does, and says why."""
        try:
            return _mutation(self._call("POST", f"/api/daemon/mutations/{quote(mutation_id, safe='')}/undo", {}))
        except _Answered as refusal:
            if refusal.status == 409:
                raise WrongState(refusal.detail) from refusal
            raise

    def _list(self, path: str, key: str) -> list[JsonObject]:
        listed = self._call("GET", path, None).get(key)
        if not isinstance(listed, list):
            raise PlatformAnswerInvalid(f"the platform's answer has no list of {key}")
        return [element for element in listed if isinstance(element, dict)]

    def _call(self, method: str, path: str, body: Mapping[str, Json] | None) -> JsonObject:
        request = Request(  # noqa: S310 - the scheme was checked by __init__
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Authorization": f"Bearer {self._key}",
                "Accept": "application/json",
                "Content-Type": "application/json",
                "User-Agent": f"donmai/{__version__}",
            },
        )
        try:
            with self._opener.open(request, timeout=_SECONDS) as response:
                return _object(response.read(_MAX_BYTES + 1))
        except HTTPError as error:
            with error:
                _refuse(error.code, error.read(_MAX_BYTES))
        except (URLError, HTTPException, TimeoutError, ssl.SSLError, OSError) as error:
            reason = getattr(error, "reason", None) or error
            text = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
            raise PlatformUnreachable(
                f"no answer from the platform at {self.url}: {text}", hint="check the URL: --platform-url"
            ) from error


def _mutation(answer: JsonObject) -> JsonObject:
    mutation = answer.get("mutation")
    if not isinstance(mutation, dict):
        raise PlatformAnswerInvalid("the platform's answer names no mutation")
    return mutation


class _Answered(PlatformRefused):
    """A refusal whose whole payload is of interest."""

    def __init__(self, status: int, detail: str, payload: JsonObject, hint: str | None) -> None:
        super().__init__(status, detail)
        self.payload = payload
        self.hint = hint


class _NoRedirect(HTTPRedirectHandler):
    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        return None


def is_loopback(host: str) -> bool:
    """Whether the host name or address of a URL is this machine."""
    return host in _LOOPBACK or (host.startswith("127.") and host.replace(".", "").isdigit())


def _refuse(status: int, raw: bytes) -> NoReturn:
    try:
        payload = _object(raw)
    except DonmaiError:
        payload = {}
    hint = {
        401: "the key is unknown or revoked; give a good one in DONMAI_API_KEY",
        403: "the key's role does not allow this; it takes an admin or owner key",
    }.get(status)
    raise _Answered(status, (text_or_none(payload, "error") or "")[:512], payload, hint)


def _object(raw: bytes) -> JsonObject:
    if len(raw) > _MAX_BYTES:
        raise PlatformAnswerInvalid("the platform's answer is too large")
    try:
        payload: object = json.loads(raw)
    except ValueError as error:
        raise PlatformAnswerInvalid(
            "the platform's answer is not JSON", hint="check the URL: --platform-url"
        ) from error
    if not isinstance(payload, dict):
        raise PlatformAnswerInvalid("the platform's answer is not a JSON object")
    return payload
