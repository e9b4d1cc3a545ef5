"""The style of a document: how the neighbours of a new entry are indented, and whether their lists span lines."""

from __future__ import annotations

from dataclasses import dataclass

from donmai_daemon.ops.block import Block
from donmai_daemon.ops.lexis import Pair, Path, gap_end, read_elements
from donmai_daemon.ops.outline import Outline
from donmai_daemon.ops.render import Tables, Value, render_key, render_path, render_value


@dataclass(frozen=True, slots=True)
class Style:
    """`header` and `body` are the blanks before a header and before a key. `model` is the block they are taken from."""

    newline: bytes
    header: bytes = b""
    body: bytes = b""
    model: Block | None = None

    @classmethod
    def of(cls, block: Block, newline: bytes) -> Style:
        """As `block` is written."""
        return cls(newline, block.indent, body_indent(block), block)

    @classmethod
    def beside(cls, outline: Outline, path: Path, sibling: Block | None) -> Style:
        """As the last entry beside `path` is written; else as `sibling` is, if that is no deeper than the entry."""
        peer = outline.last_beside(path)
        if peer is None and sibling is not None and len(sibling.path) <= len(path):
            peer = sibling
        return cls(outline.newline) if peer is None else cls.of(peer, outline.newline)

    def tables(self, path: Path, tables: Tables) -> bytes:
        """The entry `path` under headers, a blank line between them. Ends with a newline."""
        texts = []
        for below, table in tables:
            lines = [self.header + f"[{render_path(path + below)}]".encode()]
            lines += [self.body + self._pair(key, value) for key, value in table.items()]
            texts.append(self.newline.join(lines) + self.newline)
        return self.newline.join(texts)

    def _pair(self, key: str, value: Value) -> bytes:
        start = f"{render_key(key)} = ".encode()
        if isinstance(value, list) and value and self.model is not None:
            model = next((s.pair for s in self.model.statements if s.pair.key.parts == (key,)), None)
            if model is not None:
                elements = [render_value(element).encode() for element in value]
                return start + _like(self.model.text, model, elements, self.newline)
        return start + render_value(value).encode()


def _like(text: bytes, model: Pair, elements: list[bytes], newline: bytes) -> bytes:
    """The array of `elements`: on lines of their own where those of the array `model` are."""
    spans = list(read_elements(text, model.value_start)) if text[model.value_start] == ord("[") else []
    opening = text[model.value_start + 1 : spans[0][0]] if spans else b""
    if b"\n" not in opening or opening.strip():
        return b"[" + b", ".join(elements) + b"]"
    tail = text[spans[-1][1] : model.value_end]
    comma = b"," if text[gap_end(text, spans[-1][1])] == ord(",") else b""
    closing = newline + tail[tail.rfind(b"\n") + 1 :] if b"\n" in tail else b"]"
    return b"[" + opening + (b"," + opening).join(elements) + comma + closing


def body_indent(block: Block) -> bytes:
    """The blanks before the last key under a header; before the header where there is no key."""
    if not block.statements:
        return block.indent
    last = block.statements[-1]
    return block.text[last.line_start : last.pair.key.start]
