"""`donmai host model-access show|explain`: the policy in the file, and what it decides. Needs no daemon."""

from __future__ import annotations

from typing import TYPE_CHECKING

from donmai_daemon.cli.parser import Parser, examples
from donmai_daemon.errors import UsageError

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Mapping

    from donmai_daemon.access import AccessDenied, Decision, Ruling
    from donmai_daemon.cli.console import Console
    from donmai_daemon.model.config import ModelAccess, Policy
    from donmai_daemon.model.json import Json, JsonObject


def build(parser: Parser, place: Parser) -> None:
    """Add the verbs; `place` has the options that every host verb takes."""
    parser.set_defaults(verb_parser=parser)
    parser.epilog = examples(
        "donmai host model-access show",
        "donmai host model-access explain --ceiling byok,metered --company anthropic --model opus --workload qa",
    )
    verbs = parser.add_subparsers(dest="access_verb", metavar="VERB", title="verbs", parser_class=Parser)
    show = verbs.add_parser("show", parents=[place], help="every policy in the configuration file")
    show.set_defaults(run=_show)
    explain = verbs.add_parser(
        "explain", parents=[place], help="what the policy makes of one request; exit 1 where it denies access"
    )
    explain.add_argument(
        "--ceiling", metavar="MODES", help="auth modes the platform allows, by comma (default: all)"
    )
    explain.add_argument("--company", metavar="C", default="", help="company of the model")
    explain.add_argument("--model", metavar="M", default="", help="the model")
    explain.add_argument("--requested", metavar="MODE", help="the auth mode that is asked for")
    explain.add_argument(
        "--workload", metavar="W", default="", help="the kind of work (default: the default policy)"
    )
    explain.set_defaults(run=_explain)
    for verb in (show, explain):
        verb.add_argument("--config", metavar="F", help="configuration file (default: the usual places)")
        verb.add_argument("--json", action="store_true", help="as JSON")


def _policies(arguments: Namespace, console: Console) -> ModelAccess:
    from donmai_daemon.cli.configuration import located, read

    path = located(arguments.config, console)
    return read(path, console, required=arguments.config is not None).loaded.config.model_access


def _show(arguments: Namespace, console: Console) -> int:
    block = _policies(arguments, console)
    if arguments.json:
        console.json(
            {
                "default": None if block.default is None else _policy_json(block.default),
                "workloads": {name: _policy_json(policy) for name, policy in sorted(block.workloads.items())},
            }
        )
        return 0
    named = [*([("default", block.default)] if block.default is not None else []), *sorted(block.workloads.items())]
    if not named:
        console.note("no model-access policy: every mode that the platform allows is allowed")
        return 0
    console.table(
        ("POLICY", "ROW", "MODE", "ALLOWED", "HOST", "MODEL"),
        [
            (name, row, mode, "yes" if cell.allowed else "no", cell.host or "", cell.model or "")
            for name, policy in named
            for row, cells in policy.matrix.items()
            for mode, cell in cells.items()
        ],
    )
    for name, policy in named:
        if policy.auth_order:
            console.print(f"{name}: preferred in the order {', '.join(policy.auth_order)}")
    return 0


def _explain(arguments: Namespace, console: Console) -> int:
    from donmai_daemon.access import AccessDenied, resolve
    from donmai_daemon.model.config import AUTH_MODES, WORKLOADS

    ceiling = AUTH_MODES if arguments.ceiling is None else _modes("--ceiling", arguments.ceiling.split(","))
    requested = None if arguments.requested is None else _modes("--requested", [arguments.requested])[0]
    workload = arguments.workload
    if workload and workload not in WORKLOADS:
        console.note(f"note: {workload!r} is no workload that a policy can be set for; the default policy decides")
    block = _policies(arguments, console)
    try:
        decision = resolve(ceiling, block, workload, arguments.company, arguments.model, requested)
    except AccessDenied as denied:
        if not arguments.json:
            _reasons(console, denied.rulings)
            raise
        console.json(_denied_json(denied))
        return 1
    if arguments.json:
        console.json(decision.to_json())
    else:
        _tell(console, decision)
    return 0


def _modes(option: str, names: list[str]) -> tuple[str, ...]:
    from donmai_daemon.model.config import AUTH_MODES

    given = tuple(name.strip() for name in names if name.strip())
    for name in given:
        if name not in AUTH_MODES:
            raise UsageError(f"{option}: {name!r} is no auth mode", hint=f"modes: {', '.join(AUTH_MODES)}")
    if option == "--requested" and not given:
        raise UsageError("--requested: names no auth mode", hint=f"modes: {', '.join(AUTH_MODES)}")
    return given


def _tell(console: Console, decision: Decision) -> None:
    console.fields(
        [
            ("Auth mode", decision.auth_mode),
            ("Host", decision.host),
            ("Model", decision.model),
            ("Effective", ", ".join(decision.effective)),
            ("Dropped", ", ".join(decision.dropped)),
            ("Policy", decision.policy or "none"),
        ]
    )
    console.print()
    _reasons(console, decision.rulings)


def _reasons(console: Console, rulings: tuple[Ruling, ...]) -> None:
    why = {
        "allowed": "allowed",
        "denied": "denied",
        "inherited": "no cell: as the platform allows",
        "dropped": "allowed, but outside what the platform allows",
    }
    console.table(("MODE", "CELL", "DECISION"), [(r.mode, r.cell or "-", why[r.verdict]) for r in rulings])


def _denied_json(denied: AccessDenied) -> JsonObject:
    rulings: list[Json] = [ruling.to_json() for ruling in denied.rulings]
    return {"error": denied.message, "code": denied.code, "dropped": list(denied.dropped), "rulings": rulings}


def _policy_json(policy: Policy) -> JsonObject:
    matrix: dict[str, Json] = {
        row: {
            mode: _cell_json(cell.allowed, host=cell.host, model=cell.model, enforce=cell.enforce)
            for mode, cell in cells.items()
        }
        for row, cells in policy.matrix.items()
    }
    order: JsonObject = {"authOrder": list(policy.auth_order)} if policy.auth_order else {}
    return {"matrix": matrix, **order}


def _cell_json(allowed: bool, **more: Json) -> JsonObject:
    given: Mapping[str, Json] = {name: value for name, value in more.items() if value is not None}
    return {"allowed": allowed, **given}
