"""A report of the simulator as a person reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from donmai_daemon.simulate.chart import axis, bars, breadth

if TYPE_CHECKING:
    from donmai_daemon.cli.console import Console
    from donmai_daemon.simulate.report import Figure, Report

_WIDTH, _HEIGHT = 72, 8


def show(report: Report, console: Console) -> None:
    """Picture, figures, promises."""
    console.print()
    console.print(
        console.style(f"{report.scenario}: {report.hosts:,} machines, a beat every {report.interval:g} s", "bold")
    )
    if report.requests:
        console.print(console.style("requests a second", "dim"))
        for line in bars(report.requests, width=_WIDTH, height=_HEIGHT):
            console.print(line[:9] + console.style(line[9:], "cyan"))
        seconds = len(report.requests)
        width = min(_WIDTH, seconds * breadth(seconds, _WIDTH))
        for line in axis(report.marks, seconds=seconds, width=width):
            console.print(console.style(line, "dim"))
    console.print()
    width = max((len(figure.label) for figure in report.figures), default=0)
    for figure in report.figures:
        console.print(f"  {console.style(figure.label.ljust(width), 'dim')}  {_value(figure):>10}")
    console.print()
    for promise in report.promises:
        sign = console.style("✓", "green") if promise.held else console.style("✗", "red")
        console.print(f"  {sign} {promise.text}  {console.style(f'({promise.seen})', 'dim')}")
    if report.interrupted:
        console.print(console.style("  interrupted: this is what there was until then", "yellow"))


def _value(figure: Figure) -> str:
    if figure.value is None:
        return "-"
    if figure.unit == "s" and figure.value < 1:
        return f"{figure.value * 1000:.1f} ms"
    if isinstance(figure.value, int):
        return f"{figure.value:,} {figure.unit}".rstrip()
    return f"{figure.value:,.1f} {figure.unit}".rstrip() if figure.unit != "×" else f"{figure.value:.2f} ×"
