"""Environments to measure programs in, below build/bench: made once, and of the wheel of this checkout."""

from __future__ import annotations

import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENTS = ROOT / "build" / "bench"


def wheel() -> Path:
    """The wheel of this checkout, built now."""
    dist = ENVIRONMENTS / "dist"
    dist.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        [sys.executable, "packaging/artifacts.py", "python", "--dist", str(dist)],
        cwd=ROOT,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return next(dist.glob("*.whl"))


def environment(name: str, packages: Sequence[str]) -> Path:
    """The interpreter of an environment with `packages` in it; made once, a local wheel is installed every time."""
    place = ENVIRONMENTS / name
    python, complete = place / "bin" / "python", place / "complete"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--upgrade"]
    if not complete.exists():
        venv.create(place, with_pip=False, clear=True)
        subprocess.run([*pip, *packages], check=True)
        complete.touch()
    if local := [package for package in packages if "/" in package]:
        subprocess.run([*pip, *local], check=True)
        subprocess.run([*pip, "--no-deps", "--force-reinstall", *local], check=True)
    return python
