"""`make release`: build everything, prove that it is what it should be, sign it where a key is given.

1. The changelog has a section for the version, with a date; the key that is given can be had.
2. Two builds give the same bytes.
3. twine finds nothing in wheel and sdist, and the sdist builds the same wheel.
4. The wheel installs into an empty environment and says the version.
5. SHA256SUMS, and with DONMAI_SIGNING_KEY (a GnuPG key id) a signature of it.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import venv
from pathlib import Path

from artifacts import BUILDS, ROOT, version

DIST = ROOT / "dist"


def main() -> int:
    number = version()
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    if not re.search(rf"^## \[{re.escape(number)}\] - \d{{4}}-\d\d-\d\d$", changelog, re.MULTILINE):
        raise SystemExit(f"CHANGELOG.md has no section `## [{number}] - YYYY-MM-DD`")
    key = os.environ.get("DONMAI_SIGNING_KEY")
    if key:
        run("gpg", "--batch", "--list-secret-keys", key)
    DIST.mkdir(exist_ok=True)
    for old in DIST.iterdir():
        old.unlink()
    made = [path for make in BUILDS.values() for path in make(DIST)]
    with tempfile.TemporaryDirectory(prefix="donmai-release-") as again:
        for make in BUILDS.values():
            for path in make(Path(again)):
                if digest(path) != digest(DIST / path.name):
                    raise SystemExit(f"{path.name} is not the same when it is built again")
    print("the same bytes twice:", *(path.name for path in made))
    python = [path for path in made if path.suffix in (".whl", ".gz")]
    run(sys.executable, "-m", "twine", "check", "--strict", *map(str, python))
    with tempfile.TemporaryDirectory(prefix="donmai-release-") as name:
        check_sdist(Path(name), python)
        check_install(Path(name), next(path for path in python if path.suffix == ".whl"), number)
    sums = DIST / "SHA256SUMS"
    sums.write_text("".join(f"{digest(path)}  {path.name}\n" for path in sorted(made)))
    if key:
        run("gpg", "--batch", "--yes", "--local-user", key, "--armor", "--detach-sign", str(sums))
    print(f"release {number} is in {DIST}" + ("" if key else ", unsigned: DONMAI_SIGNING_KEY is not set"))
    return 0


def check_sdist(place: Path, python: list[Path]) -> None:
    """Who builds from the sdist gets the wheel that is published."""
    sdist = next(path for path in python if path.suffix == ".gz")
    wheel = next(path for path in python if path.suffix == ".whl")
    with tarfile.open(sdist) as archive:
        archive.extractall(place, filter="data")
        stamp = str(int(archive.getmembers()[0].mtime))
    source = place / sdist.name.removesuffix(".tar.gz")
    environ = os.environ | {"SOURCE_DATE_EPOCH": stamp}
    run(sys.executable, "-m", "build", "--wheel", "--outdir", str(place / "rebuilt"), str(source), environ=environ)
    if digest(place / "rebuilt" / wheel.name) != digest(wheel):
        raise SystemExit("the sdist does not build the published wheel")


def check_install(place: Path, wheel: Path, number: str) -> None:
    """The wheel is complete: nothing of the checkout is needed."""
    venv.create(place / "clean", with_pip=False)
    python = str(place / "clean" / "bin" / "python")
    run(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", str(wheel))
    for script in ("donmai", "donmai-daemon"):
        said = run(str(place / "clean" / "bin" / script), "--version", cwd=place).strip()
        if said != f"donmai {number}":
            raise SystemExit(f"{script} --version says {said!r}")
    run(str(place / "clean" / "bin" / "donmai"), "host", "install", "--user", "--dry-run", cwd=place)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def run(*argv: str, cwd: Path = ROOT, environ: dict[str, str] | None = None) -> str:
    done = subprocess.run(argv, cwd=cwd, env=environ, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(argv)}\n{done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
