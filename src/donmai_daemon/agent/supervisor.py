"""Running the agent: started, kept to its budget, its lock refreshed, ended with everything it started."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path

import anyio

from donmai_daemon.agent.fetch import Detail
from donmai_daemon.agent.output import OutputLog, write_private
from donmai_daemon.agent.platform_session import PlatformSession
from donmai_daemon.agent.program import Program
from donmai_daemon.agent.stop import Stop
from donmai_daemon.clock import Clock
from donmai_daemon.model.json import text_or_none
from donmai_daemon.sessions.processes import MARK_VARIABLE, reap_orphans

LOCK_SECONDS = 30.0
LOCK_FAILURES = 3
"""This many refreshes failed in a row: the session is somebody else's by now."""


class Supervisor:
    """`environment` is what the agent inherits; `python` the interpreter for the launcher."""

    def __init__(
        self,
        *,
        command: tuple[str, ...],
        environment: Mapping[str, str],
        mark: str,
        python: str,
        log: OutputLog,
        clock: Clock,
        stop: Stop,
    ) -> None:
        self._command = command
        self._environment = environment
        self._mark = mark
        self._python = python
        self._log = log
        self._clock = clock
        self._stop = stop

    async def run(self, session_id: str, detail: Detail, platform: PlatformSession, workspace: Path) -> int:
        """The agent's exit code, negative for a signal. A stop that is asked meanwhile ends it.

        Raises `OSError` where it cannot even be launched.
        """
        file = workspace.with_name(f"{workspace.name}.session.json")
        file.unlink(missing_ok=True)
        write_private(file, json.dumps(detail.payload, ensure_ascii=False).encode())
        try:
            with tempfile.TemporaryFile() as prompt:
                prompt.write(detail.prompt.encode("utf-8", "replace"))
                prompt.seek(0)
                program = Program(
                    self._command,
                    python=self._python,
                    mark=self._mark,
                    cwd=workspace,
                    environment=self._agent_environment(session_id, detail, file),
                    stdin=prompt.fileno(),
                )
            return await self._watch(program, detail, platform)
        finally:
            file.unlink(missing_ok=True)

    async def _watch(self, program: Program, detail: Detail, platform: PlatformSession) -> int:
        async with anyio.create_task_group() as group:
            group.start_soon(self._hold_lock, program.id.pid, platform)
            group.start_soon(self._keep_to_budget, detail.budget_seconds)
            await self._stop.unless_asked(program.run(self._log.write))
            group.cancel_scope.cancel()
        assert program.exit_code is not None  # run() returns, or is cancelled, only after its end
        return program.exit_code

    async def _keep_to_budget(self, seconds: float) -> None:
        await self._clock.sleep(seconds)
        self._stop.ask("failed", f"the budget of {seconds:g} s is spent")

    async def _hold_lock(self, agent: int, platform: PlatformSession) -> None:
        failures = 0
        while not self._stop.asked:
            await self._clock.sleep(LOCK_SECONDS)
            reap_orphans(except_for=agent)
            answer = await platform.refresh_lock()
            failures = 0 if answer is not None and answer.refreshed else failures + 1
            if answer is not None and answer.stop:
                self._stop.ask("stopped", "the platform asked for it")
            elif failures == LOCK_FAILURES:
                self._stop.ask("failed", "the lock on the session is lost")

    def _agent_environment(self, session_id: str, detail: Detail, file: Path) -> dict[str, str]:
        profile = detail.payload.get("resolvedProfile")
        chosen = profile if isinstance(profile, dict) else {}
        named = {
            "DONMAI_MODEL": text_or_none(chosen, "model"),
            "DONMAI_MODEL_HOST": text_or_none(chosen, "host"),
            "DONMAI_AUTH_MODE": text_or_none(chosen, "authMode"),
        }
        return {
            **self._environment,
            **detail.env,
            **{name: value for name, value in named.items() if value and "\0" not in value},
            "DONMAI_SESSION_ID": session_id,
            "DONMAI_SESSION_FILE": str(file),
            MARK_VARIABLE: self._mark,
        }
