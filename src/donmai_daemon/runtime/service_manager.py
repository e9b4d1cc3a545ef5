"""What the service manager is told while the daemon runs: that the event loop turns, and how it goes."""

from __future__ import annotations

from collections.abc import Callable

from donmai_daemon.clock import Clock
from donmai_daemon.model.status import Snapshot
from donmai_daemon.systemd import Notifier

_STATUS_SECONDS = 15.0


async def keep_informed(
    notifier: Notifier, watchdog: float | None, snapshot: Callable[[], Snapshot], clock: Clock
) -> None:
    """Feed the watchdog every `watchdog` seconds, and on the way renew the status line where it reads differently.

    The watchdog is told that this loop turns, never whether the platform answers: starting again helps against the
    one and not against the other. Returns at once where there is no manager; one without a watchdog gets the status.
    """
    told = ""
    while notifier.enabled:
        text = status_line(snapshot())
        if text != told and notifier.status(text):
            told = text
        if watchdog is not None:
            notifier.watchdog()
        await clock.sleep(_STATUS_SECONDS if watchdog is None else watchdog)


def status_line(now: Snapshot) -> str:
    """One line for `systemctl status`. Nothing in it changes by mere waiting, so that an idle daemon sends nothing."""
    beat = now.beat
    parts: list[str] = [] if now.lifecycle == "ready" else [now.lifecycle]
    if beat.last_accepted_at is not None:
        parts.append(f"last beat accepted {beat.last_accepted_at}")
    else:
        parts.append("no beat accepted yet")
    if beat.consecutive_failures:
        parts.append(f"{beat.consecutive_failures} failed since: {beat.last_error}")
    parts.append(f"{now.pending_mutations} mutations pending")
    if now.review_mutations:
        parts.append(f"{now.review_mutations} to review")
    if now.active_sessions:
        parts.append(f"{now.active_sessions} sessions")
    return ", ".join(parts)
