"""Build what is released: wheel and sdist, .deb and .rpm, one single file. `python packaging/artifacts.py --help`.

Every build of the same commit with the same tools gives the same bytes: times come from the commit, bytecode carries
hashes in place of times, and nothing remembers where it was built.
"""

from __future__ import annotations

import argparse
import compileall
import hashlib
import os
import platform
import py_compile
import re
import shutil
import string
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
STAGE = ROOT / "build" / "stage"
HOME = Path("usr/lib/donmai")
CONSTRAINTS = ROOT / "packaging" / "constraints.txt"
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}

LAUNCHER = f"""\
#!/{HOME}/bin/python -IB
import sys

from donmai_daemon.cli.main import entry

sys.exit(entry())
"""
"""-I: neither the caller's PYTHON* variables, nor their site-packages, nor the directory they stand in. -B: a package owns
its files, and the bytecode is among them."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("what", nargs="*", help=f"any of {', '.join(BUILDS)} (default: all)")
    parser.add_argument("--dist", type=Path, default=ROOT / "dist", help="where to put it (default: dist)")
    arguments = parser.parse_args()
    arguments.dist.mkdir(parents=True, exist_ok=True)
    for what in arguments.what or BUILDS:
        for made in BUILDS[what](arguments.dist.resolve()):
            print(f"{made.stat().st_size / 1e6:7.2f} MB  {_digest(made)[:16]}  {made}")
    return 0


def version() -> str:
    """The version, from the one place where it is."""
    found = re.search(r'__version__ = "(.+)"', (ROOT / "src/donmai_daemon/__init__.py").read_text("utf-8"))
    if found is None:
        raise SystemExit("src/donmai_daemon/__init__.py names no version")
    return found[1]


def epoch() -> int:
    """SOURCE_DATE_EPOCH, else the time of the commit, else (no repository) the one that hatchling uses."""
    if "SOURCE_DATE_EPOCH" in os.environ:
        return int(os.environ["SOURCE_DATE_EPOCH"])
    done = subprocess.run(
        ["git", "log", "-1", "--format=%ct"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return int(done.stdout) if done.returncode == 0 and done.stdout.strip() else 1580601600


def python(dist: Path) -> list[Path]:
    """Wheel and source distribution."""
    for old in (*dist.glob("*.whl"), *dist.glob("*.tar.gz")):
        old.unlink()
    _run(sys.executable, "-m", "build", "--outdir", str(dist), str(ROOT))
    return [*dist.glob("*.whl"), *dist.glob("*.tar.gz")]


def environment(wheel: Path) -> None:
    """The tree below /usr/lib/donmai: a virtual environment that is at home there, and compiled."""
    shutil.rmtree(STAGE, ignore_errors=True)
    home = STAGE / HOME
    site = home / "lib" / f"python{PYTHON}" / "site-packages"
    site.mkdir(parents=True)
    _run(
        *(sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", "--no-warn-script-location"),
        *("--only-binary", ":all:", "--constraint", str(CONSTRAINTS), "--target", str(site), str(wheel)),
    )
    shutil.rmtree(site / "bin", ignore_errors=True)
    for trace in (*site.glob("*.dist-info/direct_url.json"), *site.glob("*.dist-info/RECORD")):
        trace.unlink()  # where it was built, and a list of files that are not all there any more
    (home / "bin").mkdir()
    (home / "bin" / "python").symlink_to(f"/usr/bin/python{PYTHON}")
    (home / "bin" / "donmai").write_text(LAUNCHER)
    (home / "bin" / "donmai").chmod(0o755)
    (home / "pyvenv.cfg").write_text(f"home = /usr/bin\ninclude-system-site-packages = false\nversion = {PYTHON}\n")
    compiled = compileall.compile_dir(
        site,
        quiet=1,
        stripdir=STAGE,
        prependdir="/",
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        workers=1,
    )
    if not compiled:
        raise SystemExit("a module does not compile")
    unit = (ROOT / "systemd/user/donmai-daemon.service").read_text("utf-8")
    (STAGE / "donmai-daemon.user.service").write_text(unit.replace("%h/.local/bin/donmai", "/usr/bin/donmai"))
    for entry in STAGE.rglob("*"):  # whatever umask and clock of who builds
        if not entry.is_symlink():
            entry.chmod(0o755 if entry.is_dir() or entry.parent.name == "bin" else 0o644)
        os.utime(entry, (epoch(), epoch()), follow_symlinks=False)


def system(dist: Path) -> list[Path]:
    """The .deb and the .rpm, for this machine's architecture and the running Python's minor version."""
    environment(_wheel(dist))
    filled = string.Template((ROOT / "packaging/nfpm.yaml").read_text("utf-8")).substitute(
        VERSION=version(),
        ARCH=ARCHITECTURES[platform.machine()],
        PYTHON=PYTHON,
        MTIME=datetime.fromtimestamp(epoch(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    )
    recipe = STAGE / "nfpm.yaml"
    recipe.write_text(filled)
    made: list[Path] = []
    for packager in ("deb", "rpm"):
        for old in dist.glob(f"*.{packager}"):
            old.unlink()
        _run(_tool("nfpm"), "package", "--config", str(recipe), "--packager", packager, "--target", str(dist))
        made += dist.glob(f"*.{packager}")
    return made


def single(dist: Path) -> list[Path]:
    """One file that runs wherever there is the running Python's minor version on the same architecture."""
    made = dist / f"donmai-{version()}-py{PYTHON}-{platform.machine()}.pyz"
    environment(_wheel(dist))
    _run(
        *(_tool("shiv"), "--compressed", "--reproducible", "--extend-pythonpath", "--console-script", "donmai"),
        *("--python", f"/usr/bin/env python{PYTHON}", "--output-file", str(made)),
        *("--site-packages", str(STAGE / HOME / "lib" / f"python{PYTHON}" / "site-packages")),
    )
    return [made]


BUILDS: Mapping[str, Callable[[Path], list[Path]]] = {"python": python, "system": system, "single": single}


def _wheel(dist: Path) -> Path:
    found = next(dist.glob(f"donmai_daemon-{version()}-*.whl"), None)
    return found or next(made for made in python(dist) if made.suffix == ".whl")


def _tool(name: str) -> str:
    beside = Path(sys.executable).with_name(name)
    return str(beside) if beside.exists() else name


def _run(*argv: str) -> None:
    done = subprocess.run(
        argv,
        cwd=ROOT,
        env=os.environ | {"SOURCE_DATE_EPOCH": str(epoch()), "PYTHONHASHSEED": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(argv)}\n{done.stdout}")


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
