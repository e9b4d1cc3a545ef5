"""Deciding how mutations end: pure, one document in, one document and the verdicts out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import structlog

from donmai_daemon.errors import ConfigInvalid, EditRefused, ParamsInvalid, UnsupportedOperation
from donmai_daemon.model.config import Remote
from donmai_daemon.model.mutation import MAX_ERROR_CHARS, Lane, MutationRecord, MutationRequest, Verdict
from donmai_daemon.ops.diff import unified
from donmai_daemon.ops.document import Document
from donmai_daemon.ops.registry import CheckedParams, Operation, operation
from donmai_daemon.ops.result import Changed, Rejected

DENIED = "denied by the machine owner"
INTERNAL_ERROR = "internal error"


@dataclass(frozen=True, slots=True)
class Decision:
    """The document after all of them, and one verdict each, in order. `internal_errors` are ids."""

    document: Document
    verdicts: tuple[Verdict, ...]
    internal_errors: tuple[str, ...]


def lane_of(request: MutationRequest) -> Lane:
    """The lane a mutation waits in. One that no file is needed for is not held back by the file."""
    try:
        return operation(request.op).lane
    except UnsupportedOperation:
        return "host"


def failed(mutation_id: str, error: str) -> Verdict:
    return Verdict(mutation_id, "failed", error=error[:MAX_ERROR_CHARS])


def admit(request: MutationRequest, remote: Remote) -> tuple[Operation, CheckedParams] | Verdict:
    """What may be done and with which parameters, or the verdict that nothing may."""
    try:
        known = operation(request.op)
        if request.origin == "remote":
            if not known.remote:
                raise UnsupportedOperation(request.op)
            if remote.consent(request.op) == "deny":
                return failed(request.id, DENIED)
        return known, known.check(request.params)
    except (UnsupportedOperation, ParamsInvalid) as error:
        return failed(request.id, str(error))


def decide(
    document: Document,
    records: Iterable[MutationRecord],
    remote: Remote,
    valid: Callable[[Document], None],
    *,
    verify_each: bool = False,
) -> Decision:
    """Run every handler on what the one before left.

    `valid` raises `ConfigInvalid` for a document the daemon could not run on. The result as a whole is verified once.
    Where that fails, one of them is to blame, and they are run again with a verification after each: the culprit
    fails alone. (An exact edit makes this rare; a batch of 500 pays for one parse.)
    """
    log = structlog.get_logger("applier")
    verdicts: list[Verdict] = []
    internal: list[str] = []
    records = list(records)
    start = document
    for record in records:
        request = record.request
        try:
            admitted = admit(request, remote)
            if isinstance(admitted, Verdict):
                verdicts.append(admitted)
                continue
            known, params = admitted
            if params.ignored:
                log.warning("mutation.params_ignored", id=request.id, op=request.op, names=list(params.ignored))
            if known.apply is None:
                raise TypeError(f"{known.name} has no handler in this lane")
            result = known.apply(document, params.values)
            if isinstance(result, Rejected):
                verdicts.append(failed(request.id, result.error))
            elif isinstance(result, Changed):
                if verify_each:
                    _check(result.document, valid)
                diff = unified(document.data, result.document.data)
                verdicts.append(Verdict(request.id, "applied", changed=True, diff=diff))
                document = result.document
            else:
                verdicts.append(Verdict(request.id, "applied"))
        except EditRefused as error:
            verdicts.append(failed(request.id, str(error)))
        except Exception:
            log.exception("mutation.internal_error", id=request.id, op=request.op)
            internal.append(request.id)
            verdicts.append(failed(request.id, INTERNAL_ERROR))
    if document is not start and not verify_each:
        try:
            _check(document, valid)
        except EditRefused:
            return decide(start, records, remote, valid, verify_each=True)
    return Decision(document, tuple(verdicts), tuple(internal))


def _check(document: Document, valid: Callable[[Document], None]) -> None:
    document.verify()
    try:
        valid(document)
    except ConfigInvalid as error:
        raise EditRefused(f"the configuration would not be valid: {error.reason}") from error
