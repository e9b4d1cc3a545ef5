"""A request as handlers see it, after every check has passed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from donmai_daemon.control.answer import encode
from donmai_daemon.errors import RequestInvalid
from donmai_daemon.model.json import MAX_NESTING, Json, JsonObject, is_too_deep

_TOO_DEEP = f"body: nested more than {MAX_NESTING} levels deep"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks.

    `trusted`: presented the control token, or is the daemon's own user or root on the unix socket. `bearer` is what
    the one Authorization header presented, good or not, None where there was none of the right form. `name` goes
    into the history of a change.
    """

    trusted: bool
    bearer: str | None = field(repr=False)
    name: str


@dataclass(frozen=True, slots=True)
class Request:
    """`params` are the path's, percent-decoded once. `query` and `body` are as they came."""

    caller: Caller
    params: Mapping[str, str] = field(default_factory=dict)
    query: bytes = b""
    body: bytes = b""
    content_type: bytes | None = None

    def parameters(self, *names: str) -> dict[str, str]:
        """Those of the named query parameters that were given with a value. Raises `RequestInvalid`."""
        try:
            pairs = parse_qsl(
                self.query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=64
            )
        except ValueError as error:
            raise RequestInvalid("query string: cannot be read") from error
        given: dict[str, str] = {}
        for name, value in pairs:
            if name in given:
                raise RequestInvalid(f"query parameter {name}: given twice")
            if name in names:
                given[name] = value
        return {name: value for name, value in given.items() if value}

    def fields(self, *names: str) -> JsonObject:
        """The body's JSON object, which has no fields but the named ones; no body is an empty object.

        An unknown field is refused and not ignored: a misspelt `dryRun` must not become the real thing.
        Raises `RequestInvalid`.
        """
        value = self.object()
        for name in value:
            if name not in names:
                raise RequestInvalid(f"body: unknown field {json.dumps(name[:80])}")
        return value

    def object(self) -> JsonObject:
        """The body's JSON object, whatever fields it has; no body is an empty object. Raises `RequestInvalid`."""
        if not self.body:
            return {}
        if not _is_json(self.content_type):
            raise RequestInvalid("Content-Type: must be application/json")
        value = _read_json(self.body)
        if not isinstance(value, dict):
            raise RequestInvalid("body: must be a JSON object")
        return value


def _is_json(content_type: bytes | None) -> bool:
    kind, _, parameter = (content_type or b"").lower().partition(b";")
    return kind.strip() == b"application/json" and parameter.replace(b'"', b"").strip() in (b"", b"charset=utf-8")


def _read_json(body: bytes) -> Json:
    try:
        value: Json = json.loads(body.decode("utf-8"))
        if is_too_deep(value):
            raise RequestInvalid(_TOO_DEEP)
        encode(value)  # refuses NaN, which json.loads takes
        # Refuses a lone surrogate, which no file and no database takes.
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise RequestInvalid("body: has an unpaired surrogate") from error
    except UnicodeDecodeError as error:
        raise RequestInvalid("body: not UTF-8") from error
    except json.JSONDecodeError as error:
        raise RequestInvalid(f"body: not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from error
    except ValueError as error:
        raise RequestInvalid("body: has a number that JSON does not have, or one too long") from error
    except RecursionError as error:
        raise RequestInvalid(_TOO_DEEP) from error
    return value
