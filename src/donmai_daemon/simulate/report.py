"""What a simulation found: figures to look at, promises to keep."""

from __future__ import annotations

from dataclasses import dataclass, field

from donmai_daemon.model.json import Json, JsonObject


@dataclass(frozen=True, slots=True)
class Figure:
    """One number: `name` is for programs, `label` for people. `value` None: there was nothing to measure."""

    name: str
    label: str
    value: float | int | None
    unit: str = ""
    """`s` is shown as ms where it is short."""


@dataclass(frozen=True, slots=True)
class Promise:
    """What must hold, whether it did, and what was seen."""

    name: str
    text: str
    held: bool
    seen: str


@dataclass(slots=True)
class Report:
    """Of one scenario. `requests` are those of each second since the first of the `marks`, which are seconds on that scale."""

    scenario: str
    hosts: int
    interval: float
    figures: list[Figure] = field(default_factory=list)
    promises: list[Promise] = field(default_factory=list)
    requests: list[int] = field(default_factory=list)
    marks: list[tuple[float, str]] = field(default_factory=list)
    interrupted: bool = False

    @property
    def held(self) -> bool:
        """Whether it came to its end, and every promise was kept."""
        return not self.interrupted and all(promise.held for promise in self.promises)

    def to_json(self) -> JsonObject:
        promises: list[Json] = [
            {"name": p.name, "text": p.text, "held": p.held, "seen": p.seen} for p in self.promises
        ]
        marks: list[Json] = [{"second": round(second, 1), "what": what} for second, what in self.marks]
        requests: list[Json] = list(self.requests)
        return {
            "scenario": self.scenario,
            "hosts": self.hosts,
            "intervalSeconds": self.interval,
            "held": self.held,
            "interrupted": self.interrupted,
            "promises": promises,
            "figures": {figure.name: figure.value for figure in self.figures},
            "requestsBySecond": requests,
            "marks": marks,
        }
