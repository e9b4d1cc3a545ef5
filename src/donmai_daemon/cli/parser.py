"""argparse with this product's manners: no abbreviations, errors as `UsageError`, examples kept as written."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, NoReturn

from donmai_daemon.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line with a hint; `main` gives them exit code 2."""

    def __init__(
        self,
        prog: str | None = None,
        *,
        description: str | None = None,
        epilog: str | None = None,
        parents: list[argparse.ArgumentParser] | None = None,
        add_help: bool = True,
        color: bool | None = None,
    ) -> None:
        """`color` is what argparse gives to the parser of a verb since Python 3.14; help is the same on every Python."""
        super().__init__(
            prog=prog,
            description=description,
            epilog=epilog,
            parents=parents or [],
            add_help=add_help,
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        self.color = bool(color)

    def parse_known_args(  # type: ignore[override] # of the overloads only the one that argparse calls itself
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """What a verb does not know is refused by that verb: argparse hands it up, and would hint at the topmost help."""
        known, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return known, unknown

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, hint=f"see: {self.prog} --help")


def examples(*lines: str) -> str:
    """An epilog that shows command lines."""
    return "examples:\n" + "".join(f"  {line}\n" for line in lines)


def bounded(least: int, most: int) -> Callable[[str], int]:
    """An argument type: a whole number from `least` to `most`."""

    def number(text: str) -> int:
        if text.isascii() and text.isdigit() and least <= int(text) <= most:
            return int(text)
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from {least} to {most}")

    return number


def measured(least: float, most: float) -> Callable[[str], float]:
    """An argument type: a number from `least` to `most`."""

    def number(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if least <= value <= most:
            return value
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from {least:g} to {most:g}")

    return number
