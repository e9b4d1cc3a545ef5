"""`donmai host project list|allow|remove|enable|disable`: through the same inbox as changes from the platform."""

from __future__ import annotations

from typing import TYPE_CHECKING

from donmai_daemon.cli.parser import Parser, examples

if TYPE_CHECKING:
    from argparse import Namespace

    from donmai_daemon.cli.client import ControlClient
    from donmai_daemon.cli.console import Console
    from donmai_daemon.model.json import JsonObject


def build(parser: Parser, place: Parser) -> None:
    """Add the verbs; `place` has the options that every host verb takes."""
    parser.set_defaults(verb_parser=parser)
    parser.epilog = examples(
        "donmai host project allow alpha https://github.com/acme/alpha.git",
        "donmai host project disable alpha",
        "donmai host project remove alpha --dry-run",
    )
    verbs = parser.add_subparsers(dest="project_verb", metavar="VERB", title="verbs", parser_class=Parser)
    listed = verbs.add_parser("list", parents=[place], help="the projects, and whether their work is taken")
    listed.add_argument("--json", action="store_true", help="as JSON")
    listed.set_defaults(run=_listed)
    for name, what in _VERBS.items():
        verb = verbs.add_parser(name, parents=[place], help=what)
        verb.add_argument("id", metavar="ID")
        if name == "allow":
            verb.add_argument("repository", metavar="REPOSITORY", nargs="*", help="https, ssh or scp-like git URL")
        verb.add_argument("--dry-run", action="store_true", help="show the change to the file, and make none")
        verb.add_argument("--json", action="store_true", help="as JSON")
        verb.set_defaults(run=_change)


_VERBS = {
    "allow": "take the project's work, from these repositories as well",
    "remove": "remove the project with all its repositories",
    "enable": "take the project's work",
    "disable": "refuse the project's work; its repositories are kept",
}
_SENTENCES = {
    "allow": "{id}: its work is taken",
    "remove": "{id}: removed",
    "enable": "{id}: its work is taken",
    "disable": "{id}: its work is refused",
}


def _client(arguments: Namespace, console: Console) -> ControlClient:
    from donmai_daemon.cli.client import client_for

    return client_for(arguments, console)


def _listed(arguments: Namespace, console: Console) -> int:
    status = _client(arguments, console).get("/api/daemon/status")
    mode, projects = status.get("projectAdmissionMode"), status.get("projects")
    if arguments.json:
        console.json({"projectAdmissionMode": mode, "projects": projects})
        return 0
    rows = [
        (
            str(project.get("projectId")),
            "yes" if project.get("enabled") else "no",
            ", ".join(str(url) for url in repositories)
            if isinstance(repositories := project.get("repositories"), list)
            else "",
        )
        for project in (projects if isinstance(projects, list) else [])
        if isinstance(project, dict)
    ]
    if rows:
        console.table(("PROJECT", "ENABLED", "REPOSITORIES"), rows)
    else:
        console.note("no projects yet; add one with: donmai host project allow ID REPOSITORY")
    if mode == "all-routed":
        console.note("admission mode is all-routed: work of projects that are not listed is taken as well")
    return 0


def _change(arguments: Namespace, console: Console) -> int:
    from donmai_daemon.cli import local_change

    client = _client(arguments, console)
    for op, params in _orders(arguments):
        if arguments.dry_run:
            local_change.preview(client, console, op, params, as_json=arguments.json)
        else:
            record = local_change.make(client, op, params)
            sentence = _SENTENCES[arguments.project_verb].format(id=arguments.id)
            local_change.told(console, record, sentence, as_json=arguments.json)
    return 0


def _orders(arguments: Namespace) -> list[tuple[str, JsonObject]]:
    """The operations that a verb stands for: `allow` with several repositories is one each."""
    verb = arguments.project_verb
    if verb == "allow" and arguments.repository:
        return [("project.add", {"id": arguments.id, "repository": url}) for url in arguments.repository]
    return [("project.enable" if verb == "allow" else f"project.{verb}", {"id": arguments.id})]
