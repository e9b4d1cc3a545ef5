"""The sections read in a process of its own, so that a daemon that runs for months never holds pydantic (12 MiB).

The process is started early and imports pydantic while the daemon imports the rest; it answers as long as it is asked
and is gone once the daemon is up. A later change of a section starts another one for that one answer.
"""

from __future__ import annotations

import contextlib
import pickle  # between this process and its own child, over a pipe that nobody else has
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import IO, TypeAlias

from donmai_daemon.settings.findings import Problem

Answer: TypeAlias = dict[str, dict[str, object]] | list[Problem]
"""As `sections.read` gives it."""

_COMMAND = (sys.executable, "-I" if sys.flags.isolated else "-P", "-m", "donmai_daemon.settings.apart")


class SectionsApart:
    """`sections.read`, answered by another process. Used by one thread at a time."""

    def __init__(self, command: Sequence[str] = _COMMAND) -> None:
        """`command` starts the process that answers; nothing is started yet."""
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None
        self._kept = False

    def prepare(self) -> None:
        """Start the process now and keep it until `release`: what it imports is imported when the question comes."""
        self._kept = True
        with contextlib.suppress(OSError):
            self._start()

    def release(self) -> None:
        """Let the process end; from now on one is started for each question. Never fails, may be called twice."""
        self._kept = False
        self._end()

    def __call__(self, tables: Mapping[str, object], variables: Mapping[str, str]) -> Answer:
        """What is set, or what is wrong. Reads in this process where there can be no other."""
        try:
            process = self._process or self._start()
            assert process.stdin is not None
            assert process.stdout is not None
            pickle.dump((dict(tables), dict(variables)), process.stdin)
            process.stdin.flush()
            answer: Answer = pickle.load(process.stdout)  # noqa: S301 - from our own child
        except (OSError, EOFError, pickle.PickleError) as error:
            import structlog

            from donmai_daemon.settings import sections

            structlog.get_logger("configuration").warning("configuration.read_in_process", reason=str(error))
            return sections.read(tables, variables)
        finally:
            if not self._kept:
                self._end()
        return answer

    def _start(self) -> subprocess.Popen[bytes]:
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            process_group=0,  # a Ctrl-C is meant for the daemon
        )
        return self._process

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        process.kill()  # it holds nothing, and waiting for it to tidy up would cost more than it did
        process.wait()


def serve(questions: IO[bytes], answers: IO[bytes]) -> None:
    """Answer until there are no more questions."""
    from donmai_daemon.settings import sections

    while True:
        try:
            tables, variables = pickle.load(questions)  # noqa: S301 - from our own parent
        except EOFError:
            return
        pickle.dump(sections.read(tables, variables), answers)
        answers.flush()


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer)
