"""Tool calls that are being written: each is given the moment its arguments are complete JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fanwise.models._chat import ToolCall
from fanwise.models._json_reader import JsonReader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fanwise.models._answer import ToolBegun, ToolText


class OpenCalls:
    """The tool calls of one message, from their pieces; they may be written side by side.

    `whole` has those that are complete, in the order of their ends.
    """

    __slots__ = ("_open", "whole")

    def __init__(self) -> None:
        """Start before the first."""
        self.whole: list[ToolCall] = []
        self._open: dict[int, tuple[ToolBegun, list[str], JsonReader]] = {}

    def begin(self, begun: ToolBegun) -> None:
        """Take the beginning of a call."""
        self._open[begun.index] = begun, [], JsonReader(depth=0)

    def add(self, piece: ToolText) -> ToolCall | None:
        """Take a piece of arguments; give the call where that was the last of it.

        What comes after the last brace of a call is dropped: the call has been given.
        """
        if piece.index not in self._open:
            return None
        begun, texts, reader = self._open[piece.index]
        texts.append(piece.text)
        reader.feed(piece.text)
        if not (reader.complete and isinstance(reader.value, dict)):
            return None
        del self._open[piece.index]
        return self._keep(ToolCall(begun.id, begun.name, reader.value))

    def end(self) -> Iterator[ToolCall]:
        """Give the calls that never became complete: without arguments, or broken."""
        for begun, texts, _ in self._open.values():
            text = "".join(texts)
            broken = text if text.strip() else None
            yield self._keep(ToolCall(begun.id, begun.name, broken=broken))
        self._open.clear()

    def _keep(self, call: ToolCall) -> ToolCall:
        self.whole.append(call)
        return call

    def __repr__(self) -> str:
        """Count."""
        return f"<OpenCalls: {len(self.whole)} whole, {len(self._open)} open>"
