"""Prometheus' text format, version 0.0.4. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple, TypeAlias

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

MetricKind: TypeAlias = Literal["counter", "gauge", "histogram"]

_NO_LABELS: Mapping[str, str] = MappingProxyType({})


class Sample(NamedTuple):
    """One line. `suffix` is what a histogram adds to its name: `_bucket`, `_sum`, `_count`."""

    value: float
    labels: Mapping[str, str] = _NO_LABELS
    suffix: str = ""


def family(name: str, kind: MetricKind, meaning: str, samples: Iterable[Sample]) -> str:
    """One metric with its description; `meaning` is one line."""
    lines = [f"# HELP {name} {meaning}", f"# TYPE {name} {kind}"]
    lines += [f"{name}{one.suffix}{_labels(one.labels)} {float(one.value):.15g}" for one in samples]
    return "\n".join(lines) + "\n"


def _labels(labels: Mapping[str, str]) -> str:
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}" if labels else ""


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
