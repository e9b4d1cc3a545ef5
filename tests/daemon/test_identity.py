"""Who the machine is to the platform, when the platform forgets or refuses it."""

from __future__ import annotations

import signal

from tests.daemon.conftest import NewMachine
from tests.support.platform import PlatformProcess
from tests.support.relay import Exchange, relay
from tests.support.waiting import eventually


def test_the_platform_forgets_the_machine(new_machine: NewMachine, platform: PlatformProcess) -> None:
    """A refresh that is answered 404 leads to one registration, with the same machine id, and work goes on."""
    with relay(platform.url) as between:
        machine = new_machine(url=between.url)
        machine.daemon.start()
        machine.joined()
        first = machine.daemon.status()["workerId"]
        assert machine.daemon.stop() == 0
        platform.operated("host", "remove", machine.host_id)
        seen = len(between.exchanges)
        machine.daemon.start()
        eventually(lambda: machine.daemon.status()["workerId"] not in {None, first})
        machine.joined()
        assert machine.mutate("project.enable", {"id": "alpha"}) == ("applied", None)

        calls = [(e.path.rsplit("/", 1)[-1], e.status) for e in between.exchanges[seen:]]
        assert (
            calls.index(("heartbeat", 404)) < calls.index(("refresh-token", 404)) < calls.index(("register", 200))
        )
        registrations = [e for e in between.exchanges[seen:] if e.path.endswith("/register")]
        assert [e.body["machineId"] for e in registrations] == [machine.machine_id]
        full = next(e for e in between.beats() if e.path.split("/")[3] == machine.daemon.status()["workerId"])
        assert full.body["allowlist"] == []


def test_a_token_that_is_replaced(new_machine: NewMachine, platform: PlatformProcess, worker_key: str) -> None:
    """A refused registration token is a condition; after a new one and SIGHUP the machine joins, and waits for nothing."""

    def be_patient(exchange: Exchange) -> None:
        if exchange.status == 401:
            exchange.headers["Retry-After"] = "600"

    with relay(platform.url) as between:
        between.edit = be_patient
        machine = new_machine(url=between.url, environ={"DONMAI_DAEMON_TOKEN": ""})
        daemon = machine.daemon
        token = daemon.home / "token"
        token.write_text(f"rsk_live_{'0' * 64}\n")
        token.chmod(0o600)
        with daemon.file.open("a") as file:
            file.write(f'token_file = "{token}"\n')
        daemon.start()
        eventually(lambda: "credentials_rejected" in daemon.conditions())
        daemon.until_logged("beat.failed")
        assert daemon.get("/readyz").status == 503
        token.write_text(f"{worker_key}\n")
        daemon.signal(signal.SIGHUP)
        machine.joined()
        assert "credentials_rejected" not in daemon.conditions()
