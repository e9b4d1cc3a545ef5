"""Which platform, which key, which machine a `donmai mutation` verb means."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from donmai_daemon.cli.admin import AdminClient
from donmai_daemon.cli.dev_record import DevRecord, default_directory, record_path
from donmai_daemon.errors import DonmaiError, UsageError
from donmai_daemon.model.json import JsonObject, text_or_none

if TYPE_CHECKING:
    from argparse import Namespace

    from donmai_daemon.cli.console import Console


def admin_client(arguments: Namespace, console: Console) -> AdminClient:
    """The platform that is meant. Raises `UsageError` where nothing says which.

    Key and URL come together: a key from the environment is never sent to the dev platform, nor the dev key elsewhere.
    """
    environ = console.environ
    url = arguments.platform_url or environ.get("DONMAI_PLATFORM_URL") or environ.get("DONMAI_PLATFORM__URL")
    key = environ.get("DONMAI_API_KEY")
    if arguments.dev_dir or not (url or key):
        directory = Path(arguments.dev_dir) if arguments.dev_dir else default_directory(environ)
        record = DevRecord.read(record_path(directory))
        if record is not None:
            console.note(f"using the development platform at {record.platform_url}")
            return AdminClient(record.platform_url, record.api_key, allow_insecure=False)
        if arguments.dev_dir:
            raise DonmaiError(
                f"no development environment runs in {directory}",
                hint=f"start it with: donmai dev --dir {directory}",
            )
        raise UsageError(
            "which platform? DONMAI_API_KEY and DONMAI_PLATFORM_URL are not set, and no development environment runs",
            hint="set both, or start one with: donmai dev",
        )
    if not url:
        raise UsageError("DONMAI_API_KEY is set, but not which platform it is for", hint="set DONMAI_PLATFORM_URL")
    if not key:
        raise UsageError(f"no API key for {url}", hint="set DONMAI_API_KEY to an admin or owner key")
    return AdminClient(url, key, allow_insecure=arguments.allow_insecure)


def host_id(arguments: Namespace, client: AdminClient) -> str:
    """`--host-id`, else the only machine there is. Raises `UsageError` that lists them where there are several."""
    if arguments.host_id:
        return str(arguments.host_id)
    hosts = client.hosts()
    if not hosts:
        raise DonmaiError(
            "no machine has registered in this organisation yet", hint="start one with: donmai host run"
        )
    if len(hosts) > 1:
        named = ", ".join(_name(host) for host in hosts[:10]) + (
            f" and {len(hosts) - 10} more" if len(hosts) > 10 else ""
        )
        raise UsageError(f"which of {len(hosts)} machines? {named}", hint="name one with --host-id")
    only = text_or_none(hosts[0], "workerHostId")
    if only is None:
        raise DonmaiError("the platform names no id for its only machine", hint="name it with --host-id")
    return only


def _name(host: JsonObject) -> str:
    about = [text_or_none(host, "hostname"), text_or_none(host, "status")]
    return f"{text_or_none(host, 'workerHostId')} ({', '.join(part for part in about if part)})"
