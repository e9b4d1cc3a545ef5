"""`donmai host status|stats`: the daemon's own account of itself, for a person or as it came."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from donmai_daemon.cli.client import client_for
from donmai_daemon.cli.console import clean
from donmai_daemon.cli.when import ago, clock, duration
from donmai_daemon.errors import DaemonNotRunning, DaemonRefused, DaemonSilent
from donmai_daemon.model.json import Json, JsonObject, int_or_none, text_or_none

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Mapping

    from donmai_daemon.cli.console import Console

_WATCH_SECONDS = 1.0
_LABEL_WIDTH = 11
_MAX_NAMES = 6


def status(arguments: Namespace, console: Console) -> int:
    """Show the status once, or again and again. Raises as `ControlClient.get` does; while watching, a daemon that goes
    away is part of what is shown."""
    client = client_for(arguments, console)
    answer = client.get("/api/daemon/status")
    while True:
        if arguments.json:
            console.json(answer, one_line=arguments.watch)
        else:
            console.screen(lines(answer, console), redraw=arguments.watch)
        if not arguments.watch:
            return 0
        time.sleep(_WATCH_SECONDS)
        try:
            answer = client.get("/api/daemon/status")
        except (DaemonNotRunning, DaemonRefused, DaemonSilent) as error:
            answer = {"status": error.message}


def stats(arguments: Namespace, console: Console) -> int:
    """Show the numbers. Raises as `ControlClient.get` does."""
    answer = client_for(arguments, console).get("/api/daemon/stats")
    if arguments.json:
        console.json(answer)
        return 0
    registration, capacity = _object(answer, "registration"), _object(answer, "capacity")
    console.fields(
        [
            ("Sessions", f"{_number(answer, 'activeSessions')} of {_number(capacity, 'maxConcurrentSessions')}"),
            ("Queue", _number(answer, "queueDepth")),
            ("Worker", text_or_none(answer, "workerId") or "not registered"),
            ("Registration", text_or_none(registration, "status") or "-"),
            (
                "Last beat",
                ago(text_or_none(registration, "lastHeartbeatAt"), text_or_none(answer, "timestamp")) or "none",
            ),
            ("Heartbeat", _running(registration.get("heartbeatRunning"))),
            ("Work poller", _running(registration.get("pollRunning"))),
            ("Admission", text_or_none(answer, "projectAdmissionMode") or "-"),
            ("Enabled", ", ".join(_texts(answer.get("enabledProjectIds"))) or "no project"),
            ("Applied", ", ".join(_texts(answer.get("appliedProjectIds"))) or "no project"),
        ]
    )
    return 0


def lines(answer: Mapping[str, Json], console: Console) -> list[str]:
    """The status as text. What the daemon did not say is not shown."""
    shown = [_headline(answer, console), ""]
    for label, value in (
        ("Platform", _platform(answer, console)),
        ("Host status", _host_status(answer, console)),
        ("Config", _config(answer, console)),
        ("Projects", _projects(answer)),
        ("Sessions", _sessions(answer)),
        ("Mutations", _mutations(answer, console)),
        ("Machine", clean(text_or_none(answer, "machineId") or "")),
    ):
        if value:
            shown.append(f"  {console.style(label.ljust(_LABEL_WIDTH), 'dim')}  {value}")
    conditions = answer.get("conditions")
    if isinstance(conditions, list) and conditions:
        shown += ["", console.style("  Conditions", "bold")]
        shown += [_condition(entry, answer, console) for entry in conditions if isinstance(entry, dict)]
    return shown


def _headline(answer: Mapping[str, Json], console: Console) -> str:
    state = text_or_none(answer, "status") or "unknown"
    parts = [
        f"up {duration(uptime)}" for uptime in [answer.get("uptimeSeconds")] if isinstance(uptime, int | float)
    ]
    parts += [f"pid {pid}" for pid in [int_or_none(answer, "pid")] if pid is not None]
    parts += [f"version {clean(version)}" for version in [text_or_none(answer, "version")] if version]
    return f"{console.style('donmai daemon', 'bold')}  {console.state(state)}  {console.style(' · '.join(parts), 'dim')}".rstrip()


def _platform(answer: Mapping[str, Json], console: Console) -> str:
    beat, worker = _object(answer, "heartbeat"), text_or_none(answer, "workerId")
    if not beat and worker is None:
        return ""
    registered = f"registered as {clean(worker)}" if worker else console.style("not registered", "yellow")
    accepted = ago(text_or_none(beat, "lastAcceptedAt"), text_or_none(answer, "timestamp"))
    interval = beat.get("intervalSeconds")
    every = f", one every {interval:g} s" if isinstance(interval, int | float) else ""
    text = f"{registered} · " + (f"last beat accepted {accepted}{every}" if accepted else "no beat accepted yet")
    failures = int_or_none(beat, "consecutiveFailures") or 0
    if failures:
        reason = text_or_none(beat, "lastError")
        text += f"\n{'':{_LABEL_WIDTH + 4}}" + console.style(
            f"{failures} failed since" + (f": {clean(reason)}" if reason else ""), "red"
        )
    return text


def _host_status(answer: Mapping[str, Json], console: Console) -> str:
    """`hostStatus` is an object or a text; a daemon that was told nothing says null."""
    told = answer.get("hostStatus")
    word = told if isinstance(told, str) else text_or_none(_object(answer, "hostStatus"), "status")
    if word is None:
        return "nothing said by the platform" if "hostStatus" in answer else ""
    if not word.startswith("pool_"):
        return console.state(word)
    text = console.style(f"{clean(word)}: claims no new work", "yellow")
    pools = _texts(_object(answer, "hostStatus").get("candidatePoolIds"))
    return text + (f" · other pools: {', '.join(map(clean, pools))}" if pools else "")


def _config(answer: Mapping[str, Json], console: Console) -> str:
    config = _object(answer, "config")
    path = text_or_none(config, "path")
    if path is None:
        return ""
    if config.get("valid") is not True:
        verdict = console.style("not valid, the last good one is in use", "red")
    else:
        verdict = "valid" if config.get("digest") else "not there, defaults are in use"
    return f"{clean(path)} · {verdict}"


def _projects(answer: Mapping[str, Json]) -> str:
    projects = answer.get("projects")
    if not isinstance(projects, list):
        return ""
    enabled = _texts(answer.get("enabledProjectIds"))
    names = ", ".join(map(clean, enabled[:_MAX_NAMES])) + (", …" if len(enabled) > _MAX_NAMES else "")
    text = f"{len(enabled)} enabled" + (f" of {len(projects)}" if len(projects) != len(enabled) else "")
    text += f": {names}" if names else ""
    pending = set(enabled) ^ set(_texts(answer.get("appliedProjectIds")))
    if text_or_none(answer, "projectAdmissionMode") == "all-routed":
        text += " · takes whatever the platform routes here"
    elif pending:
        text += f" · not yet in use: {', '.join(map(clean, sorted(pending)))}"
    return text


def _sessions(answer: Mapping[str, Json]) -> str:
    active, most = int_or_none(answer, "activeSessions"), int_or_none(answer, "maxSessions")
    return f"{active} of {most} running" if active is not None and most is not None else ""


def _mutations(answer: Mapping[str, Json], console: Console) -> str:
    counts = _object(answer, "mutations")
    if not counts:
        return ""
    parts = []
    for key, one, many in (
        ("pending", "pending", "pending"),
        ("review", "waits for your review", "wait for your review"),
        ("unsentAcks", "result not yet told to the platform", "results not yet told to the platform"),
    ):
        count = int_or_none(counts, key) or 0
        if count:
            parts.append(console.style(f"{count} {one if count == 1 else many}", "yellow"))
    return " · ".join(parts) or "none pending, every result told to the platform"


def _condition(entry: Mapping[str, Json], answer: Mapping[str, Json], console: Console) -> str:
    severity, since = text_or_none(entry, "severity") or "", text_or_none(entry, "since")
    age = ago(since, text_or_none(answer, "timestamp"))
    code = console.style(clean(text_or_none(entry, "code") or "?"), "bold")
    message = clean(text_or_none(entry, "message") or "")
    when = console.style(f" (since {clock(since)}, {age})", "dim") if age else ""
    return f"  {console.state(severity, 7)}  {code}  {message}{when}"


def _object(source: Mapping[str, Json], key: str) -> JsonObject:
    value = source.get(key)
    return value if isinstance(value, dict) else {}


def _texts(value: Json) -> list[str]:
    return [element for element in value if isinstance(element, str)] if isinstance(value, list) else []


def _number(source: Mapping[str, Json], key: str) -> str:
    value = int_or_none(source, key)
    return "?" if value is None else str(value)


def _running(value: Json) -> str:
    return "running" if value is True else "not running"
