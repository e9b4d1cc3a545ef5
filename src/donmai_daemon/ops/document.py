"""Byte-exact edits of a TOML document."""

from __future__ import annotations

from collections.abc import Mapping


class Document:
    """A TOML document: its exact bytes, what they mean, and edits of single entries. Immutable.

    Every edit returns a new Document that shares what it did not touch, so a batch of edits costs the edits and
    not the file. The edit is not checked against a parser until `verify()`.
    """

    @classmethod
    def parse(cls, data: bytes) -> Document:
        """Read `data`. Raises `ConfigInvalid` (line, column) where it is not TOML 1.0 in UTF-8."""
        raise NotImplementedError

    @property
    def data(self) -> bytes:
        """The document's bytes."""
        raise NotImplementedError

    @property
    def values(self) -> Mapping[str, object]:
        """What the document means (as tomllib reads it), with the edits made so far. Not to be modified."""
        raise NotImplementedError

    def position(self, *path: str) -> tuple[int, int] | None:
        """Line and column (from 1) where the key at `path` is written, or None where it is not in the text."""
        raise NotImplementedError

    def verify(self) -> None:
        """Parse the bytes again and compare with `values`. Raises `EditRefused` where they differ."""
        raise NotImplementedError
