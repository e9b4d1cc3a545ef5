"""The outline of a document: its blocks in order, and an index by path, so that an edit costs the edit and not the file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from donmai_daemon.ops.block import Block, scan
from donmai_daemon.ops.lexis import Path

_INDEXED = 2
"""As many parts of a header's path are indexed: `projects.<id>` finds one project among thousands."""


class Outline:
    """Immutable; an edit returns a new outline that shares the blocks it did not touch.

    The first block is what comes before the first header, and is always there. `newline` is the document's own.
    """

    def __init__(self, blocks: tuple[Block, ...], index: dict[Path, tuple[Block, ...]], newline: bytes) -> None:
        self.blocks = blocks
        self.newline = newline
        self._index = index
        self._text: bytes | None = None

    @classmethod
    def of(cls, text: bytes) -> Outline:
        """Read good TOML without a byte order mark."""
        blocks = tuple(scan(text, root=True))
        index: dict[Path, list[Block]] = {}
        for block in blocks:
            index.setdefault(block.path[:_INDEXED], []).append(block)
        first = text.find(b"\n")
        newline = b"\r\n" if first > 0 and text[first - 1] == ord("\r") else b"\n"
        outline = cls(blocks, {key: tuple(listed) for key, listed in index.items()}, newline)
        outline._text = text
        return outline

    @property
    def text(self) -> bytes:
        if self._text is None:
            self._text = b"".join([block.text for block in self.blocks])
        return self._text

    @property
    def ends_open(self) -> bool:
        """Whether there is text, and its last line has no newline."""
        last = self.blocks[-1].text
        return bool(last) and not last.endswith(b"\n")

    @property
    def empty(self) -> bool:
        return len(self.blocks) == 1 and not self.blocks[0].text

    def headed(self, path: Path) -> Sequence[Block]:
        """The blocks whose header is exactly `path`, in order; for `()` what comes before the first header."""
        listed = self._index.get(path[:_INDEXED], ())
        return listed if len(path) < _INDEXED else [block for block in listed if block.path == path]

    def under(self, path: Path) -> Sequence[Block]:
        """The blocks whose header is `path` or below it, in order."""
        if len(path) < _INDEXED:
            return [block for block in self.blocks if block.path[: len(path)] == path]
        listed = self._index.get(path[:_INDEXED], ())
        return listed if len(path) == _INDEXED else [b for b in listed if b.path[: len(path)] == path]

    def last_under(self, path: Path) -> Block | None:
        """The last of `under(path)`; does not look through the whole document where it is near the end."""
        if len(path) >= _INDEXED:
            return next(reversed(self.under(path)), None)
        return next((block for block in reversed(self.blocks) if block.path[: len(path)] == path), None)

    def last_beside(self, path: Path) -> Block | None:
        """The last block whose header is `path` but for its last part."""
        depth = len(path)
        return next((b for b in reversed(self.blocks) if len(b.path) == depth and b.path[:-1] == path[:-1]), None)

    def replaced(self, first: int, stop: int, text: bytes) -> Outline:
        """`blocks[first:stop]` read anew from `text`, which begins with a header unless `first` is 0."""
        gone = self.blocks[first:stop]
        fresh = scan(text, root=first == 0)
        blocks = (*self.blocks[:first], *fresh, *self.blocks[stop:])
        index = self._index.copy()
        keys = {block.path[:_INDEXED] for block in (*gone, *fresh)}
        for key in keys:
            listed = [block for block in index.get(key, ()) if block not in gone]
            listed += [block for block in fresh if block.path[:_INDEXED] == key]
            if listed:
                index[key] = tuple(listed) if len(listed) == 1 else _ordered(listed, blocks)
            else:
                del index[key]
        return Outline(blocks, index, self.newline)


def _ordered(listed: Iterable[Block], blocks: tuple[Block, ...]) -> tuple[Block, ...]:
    order = {block: number for number, block in enumerate(blocks)}
    return tuple(sorted(listed, key=order.__getitem__))
