"""What was measured, and how it is shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """One number. `aim` is the most it should be, or with `at_least` the least; None where there is nothing to aim at."""

    name: str
    value: float
    unit: str
    aim: float | None = None
    at_least: bool = False

    @property
    def missed(self) -> bool:
        """Whether there is an aim, and the number is on the wrong side of it."""
        return self.aim is not None and (self.value < self.aim if self.at_least else self.value > self.aim)

    def line(self) -> str:
        aim = "" if self.aim is None else f"{'≥' if self.at_least else '≤'} {number(self.aim)}"
        return f"  {self.name:64} {number(self.value):>9} {self.unit:4} {aim:9} {'missed' if self.missed else ''}".rstrip()


def table(sections: Mapping[str, Sequence[Figure]]) -> str:
    """For people."""
    return "\n".join(
        line for title, figures in sections.items() for line in (title, *(one.line() for one in figures), "")
    )


def as_json(sections: Mapping[str, Sequence[Figure]]) -> dict[str, list[dict[str, object]]]:
    """For programs."""
    return {title: [asdict(one) | {"missed": one.missed} for one in figures] for title, figures in sections.items()}


def number(value: float) -> str:
    """Three digits, or all before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
