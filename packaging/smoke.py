"""Try what is released the way its users install it: the wheel on several Pythons, by pipx, by uv.

`python packaging/smoke.py python3.11 python3.13 pipx uv`: on each Python a change goes from the platform to the file
with warnings as errors, and the tests of the parts that depend most on the interpreter run against the installed wheel.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build" / "smoke"
TESTS = ("tests/ops", "tests/settings", "tests/store", "tests/runtime", "tests/link", "tests/sessions")
TOOLS = ("pipx", "uv")
_SECONDS = 30.0


def main() -> int:
    found = {name: name if name in TOOLS else interpreter(name) for name in sys.argv[1:]}
    BUILD.mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, "packaging/artifacts.py", "python", "--dist", str(BUILD)], cwd=ROOT, check=True)
    (wheel,) = BUILD.glob("*.whl")
    for name, subject in found.items():
        print(f"{name}: {by_tool(subject, wheel) if name in TOOLS else on_python(subject, wheel)}", flush=True)
    return 0


def interpreter(name: str) -> str:
    """On the PATH, else where pyenv keeps it. Ends the program where there is none: a gap must not pass for a success."""
    found = shutil.which(name)
    if found and subprocess.run([found, "-c", ""], capture_output=True, check=False).returncode == 0:
        return found
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    kept = sorted(versions.glob(f"{name.removeprefix('python')}.*/bin/{name}"))
    if not kept:
        raise SystemExit(
            f"{name} is not on this machine; name those that are: make test-pythons PYTHONS='python3.12'"
        )
    return str(kept[-1])


def on_python(python: str, wheel: Path) -> str:
    """Install the wheel into an environment of that Python, and try it."""
    place = BUILD / Path(python).name
    shutil.rmtree(place, ignore_errors=True)
    run(python, "-m", "venv", "--without-pip", str(place))
    own = str(place / "bin" / "python")
    pip = (sys.executable, "-m", "pip", "--python", own, "install", "--quiet")
    run(*pip, str(wheel))
    donmai = [own, "-W", "error", "-P", "-m", "donmai_daemon"]
    change_arrives(donmai)
    dev_runs(donmai)
    run(*pip, "pytest>=9", "pytest-timeout", "hypothesis")
    # A test that ends a process in the middle leaves its database open, which Python 3.13 warns of.
    run(own, "-m", "pytest", "-m", "not slow", "-W", "ignore::pytest.PytestUnraisableExceptionWarning", *TESTS)
    return run(own, "-c", "import platform; print('ok on', platform.python_version())").strip()


def by_tool(tool: str, wheel: Path) -> str:
    """Install the wheel as an application, and try it."""
    tools = BUILD / "tools"
    if not (tools / "bin" / tool).exists():
        run(sys.executable, "-m", "venv", str(tools))
        run(str(tools / "bin" / "python"), "-m", "pip", "install", "--quiet", tool)
    with tempfile.TemporaryDirectory(prefix="donmai-smoke-") as home:
        binaries = f"{home}/bin"
        environ = os.environ | {
            "PIPX_HOME": f"{home}/pipx",
            "PIPX_BIN_DIR": binaries,
            "PIPX_MAN_DIR": f"{home}/man",
            "UV_TOOL_DIR": f"{home}/uv",
            "UV_TOOL_BIN_DIR": binaries,
            "UV_PYTHON_DOWNLOADS": "never",
        }
        command = [str(tools / "bin" / tool), *(("tool",) if tool == "uv" else ()), "install"]
        run(*command, "--python", sys.executable, str(wheel), environ=environ)
        change_arrives([f"{binaries}/donmai"])
        return "ok, " + run(f"{binaries}/donmai-daemon", "--version").strip()


def change_arrives(donmai: Sequence[str]) -> None:
    """A platform and a daemon: one change queued, found in the file, and both ended in order."""
    with tempfile.TemporaryDirectory(prefix="donmai-smoke-") as home:
        environ = {"PATH": os.environ["PATH"], "HOME": home}
        store = ("--data-dir", f"{home}/platform")
        keys = {
            role: json.loads(
                run(
                    *donmai,
                    "platform",
                    "key",
                    "create",
                    "--org",
                    "o",
                    "--role",
                    role,
                    *store,
                    "--json",
                    environ=environ,
                )
            )["key"]
            for role in ("worker", "admin")
        }
        with running([*donmai, "platform", "serve", "--port", "0", "--json", *store], environ) as platform:
            assert platform.stdout is not None
            url = json.loads(platform.stdout.readline())["url"]
            config = Path(home, "daemon.toml")
            config.write_text(f'# mine\n[platform]\nurl = "{url}"\n[control]\nport = 0\n')
            own = environ | {"DONMAI_DAEMON_TOKEN": keys["worker"]}
            with running([*donmai, "host", "run", "--config", str(config)], own):
                admin = environ | {"DONMAI_PLATFORM_URL": url, "DONMAI_API_KEY": keys["admin"]}
                change = (
                    "mutation",
                    "enqueue",
                    "project.add",
                    "--id",
                    "demo",
                    "--repository",
                    "https://a.test/b.git",
                )
                until(lambda: attempt(*donmai, *change, environ=admin))
                until(lambda: "projects.demo" in config.read_text())
                assert config.read_text().startswith("# mine\n")
                until(lambda: '"ready"' in run(*donmai, "host", "status", "--json", environ=environ))


def dev_runs(donmai: Sequence[str]) -> None:
    """`donmai dev` needs nothing but the plain install: its daemon is ready, and both are ended in order."""
    with tempfile.TemporaryDirectory(prefix="donmai-smoke-") as home:
        environ = {"PATH": os.environ["PATH"], "HOME": home}
        status = ("host", "status", "--state-dir", f"{home}/dev/state", "--json")
        dev = ("dev", "--dir", f"{home}/dev", "--port", "0", "--platform-port", "0")
        with running([*donmai, *dev], environ):
            until(lambda: attempt(*donmai, *status, environ=environ))
            until(lambda: json.loads(run(*donmai, *status, environ=environ))["heartbeat"]["lastAcceptedAt"])


@contextmanager
def running(argv: Sequence[str], environ: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A process that must end with 0 when it is told to."""
    process = subprocess.Popen(argv, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
        process.send_signal(signal.SIGTERM)
        _out, err = process.communicate(timeout=_SECONDS)
        assert process.returncode == 0, err
    finally:
        if process.poll() is None:
            process.kill()
            print(process.communicate()[1], file=sys.stderr)


def until(true: Callable[[], object]) -> None:
    end = time.monotonic() + _SECONDS
    while not true():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.1)


def attempt(*argv: str, environ: Mapping[str, str]) -> bool:
    return subprocess.run(argv, env=environ, capture_output=True, check=False).returncode == 0


def run(*argv: str, environ: Mapping[str, str] | None = None) -> str:
    """Standard output of a program that must succeed."""
    done = subprocess.run(argv, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(argv)} ended with {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
