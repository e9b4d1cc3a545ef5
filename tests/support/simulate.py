"""`donmai platform simulate` as a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from donmai_daemon.model.json import Json, JsonObject

COMMAND = (sys.executable, "-m", "donmai_daemon", "platform", "simulate", "--json")


@dataclass(frozen=True)
class Simulated:
    """How it ended, and what it reported."""

    code: int
    report: JsonObject
    errors: str

    @property
    def broken(self) -> list[Json]:
        """Names of the promises that were not kept."""
        promises = self.report["promises"]
        assert isinstance(promises, list)
        return [promise["name"] for promise in promises if isinstance(promise, dict) and not promise["held"]]

    def figure(self, name: str) -> float:
        figures = self.report["figures"]
        assert isinstance(figures, dict)
        value = figures[name]
        assert isinstance(value, int | float), f"{name} is {value!r}"
        return value


def environment(directory: Path, **more: str) -> dict[str, str]:
    """Nothing of the developer's own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DONMAI_")}
    return {**kept, "HOME": str(directory), "TMPDIR": str(directory), **more}


def simulated(environ: Mapping[str, str], *options: str) -> Simulated:
    """Run it to its end."""
    done = subprocess.run(
        [*COMMAND, *options], capture_output=True, text=True, env=dict(environ), check=False, timeout=110
    )
    report = json.loads(done.stdout) if done.stdout else {}
    assert isinstance(report, dict)
    return Simulated(done.returncode, report, done.stderr)
