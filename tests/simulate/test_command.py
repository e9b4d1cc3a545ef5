"""The command as its user meets it: what it refuses, and how it ends."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
from pathlib import Path

import psutil
from tests.support.platform import PlatformProcess
from tests.support.simulate import COMMAND, environment, simulated

import donmai_daemon


def test_another_machine(tmp_path: Path) -> None:
    """A platform on another machine is refused: load and faults belong on this one."""
    run = simulated(environment(tmp_path, DONMAI_DAEMON_TOKEN="rsk_live_0"), "--url", "https://platform.example")
    assert run.code == 2
    assert "is not on this machine" in run.errors


def test_no_key(tmp_path: Path) -> None:
    """Without a key to register with, the variable that it is read from is named."""
    run = simulated(environment(tmp_path), "--url", "http://127.0.0.1:9")
    assert run.code == 2
    assert "DONMAI_DAEMON_TOKEN" in run.errors


def test_no_key_to_order_with(tmp_path: Path) -> None:
    """A scenario that gives orders says which key it needs before anything is started."""
    run = simulated(
        environment(tmp_path, DONMAI_DAEMON_TOKEN="rsk_live_0"),
        *("--url", "http://127.0.0.1:9", "--scenario", "mutations"),
    )
    assert run.code == 2
    assert "DONMAI_API_KEY" in run.errors


def test_a_key_that_is_not_good(tmp_path: Path) -> None:
    """Where the first machine is refused the rest is not tried, and the refusal is told."""
    with PlatformProcess.embedded(tmp_path / "platform") as platform:
        run = simulated(environment(tmp_path, DONMAI_DAEMON_TOKEN="rsk_live_0"), "--url", platform.url)
    assert run.code == 1
    assert "status 401" in run.errors


def test_url_and_store(tmp_path: Path) -> None:
    """A platform that runs has a store already."""
    run = simulated(environment(tmp_path), "--url", "http://127.0.0.1:9", "--data-dir", str(tmp_path / "data"))
    assert run.code == 2
    assert "--url" in run.errors


def test_too_few_descriptors(tmp_path: Path) -> None:
    """More machines than the system allows open files are refused, with the limit that would do."""
    done = subprocess.run(
        [*COMMAND, "--hosts", "500"],
        capture_output=True,
        text=True,
        env=environment(tmp_path),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (400, 400)),
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert "ulimit -Hn 756" in done.stderr


def test_interrupted(tmp_path: Path) -> None:
    """A signal ends everything that was started, and what there is until then is reported."""
    process = subprocess.Popen(
        [*COMMAND, "--hosts", "10", "--interval", "1", "--for", "600"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(tmp_path),
    )
    assert process.stderr is not None
    while "steady" not in process.stderr.readline():
        assert process.poll() is None
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) == 2  # the platform and the machines
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    report = json.loads(out)
    assert report["interrupted"]
    assert not report["held"]
    assert report["figures"]["beats"] > 10
    assert not any(child.is_running() for child in children)
    assert list(tmp_path.glob("donmai-simulate-*")) == []


def test_only_the_command_knows_it() -> None:
    """Neither the daemon nor the platform imports the simulator."""
    package = Path(donmai_daemon.__file__).parent
    users = {
        str(module.relative_to(package))
        for module in package.rglob("*.py")
        if "donmai_daemon.simulate" in module.read_text("utf-8")
    }
    assert all(user.startswith(("simulate/", "cli/simulate")) for user in users), users
