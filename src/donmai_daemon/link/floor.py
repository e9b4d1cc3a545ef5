"""How often one machine may become a new worker."""

from __future__ import annotations

from donmai_daemon.clock import Clock

_FLOOR = 60.0
_WINDOW = 3600.0


class RegistrationFloor:
    """Keeps registrations of a machine that was a worker before at least 60 s apart.

    Two machines with one machine id take the registration from each other for ever. So each further time within an hour
    doubles the distance, and is a conflict that a person has to look at.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last_try: float | None = None
        self._again: list[float] = []

    def wait(self) -> float:
        """Seconds until the machine may register again; 0.0: now."""
        if self._last_try is None:
            return 0.0
        return max(0.0, self._last_try + self._distance() - self._clock.monotonic())

    def tried(self) -> None:
        """A registration was sent. It counts whatever came back: a lost answer may have made a worker."""
        self._last_try = self._clock.monotonic()

    def became_again(self) -> None:
        """A machine that was a worker before became a new one."""
        self._again = [*self._recent(), self._clock.monotonic()]

    @property
    def conflict_until(self) -> float | None:
        """`clock.monotonic()` at which the conflict is over if nothing more happens; None where there is none."""
        recent = self._recent()
        return recent[-2] + _WINDOW if len(recent) > 1 else None

    def _recent(self) -> list[float]:
        since = self._clock.monotonic() - _WINDOW
        return [moment for moment in self._again if moment > since]

    def _distance(self) -> float:
        return _FLOOR * 2.0 ** max(0, len(self._recent()) - 1)  # half an hour at most: then the window runs out
