"""An answer that is being written: its pieces are put together, and told as they are whole."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from fanwise.models._answer import Answer, Counted, Ended, Part, Text, ToolBegun, ToolText
from fanwise.models._chat import ToolCall
from fanwise.models._json_reader import JsonReader

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fanwise.models._answer import Finish, Piece, RawPiece
    from fanwise.models._usage import Usage


class Arriving:
    """What arrived of one answer so far.

    With `depth`, its text is JSON, whose parts to that depth are told when they are whole. `usage`
    is what the provider has counted, `whole` whether it has said that the answer is over.
    """

    __slots__ = ("_opened", "_reader", "_texts", "finish", "model", "served", "usage", "whole")

    finish: Finish
    usage: Usage | None

    def __init__(self, depth: int | None) -> None:
        """Begin before the first piece."""
        self._reader = None if depth is None else JsonReader(depth)
        self._texts: list[str] = []
        self._opened: dict[int, ToolArriving] = {}
        self.usage = None
        self.finish = "cut"
        self.model = self.served = ""
        self.whole = False

    def take(self, raw: RawPiece) -> Iterator[Piece]:
        """Take what a provider gives, and give what can be told of it."""
        match raw:
            case Text(text):
                self._texts.append(text)
                yield raw
                for path, value in self._parts(text):
                    yield Part(path, value)
            case ToolBegun(index):
                self._opened.setdefault(index, ToolArriving(raw))
            case ToolText(index, text):
                call = self._opened[index].take(text)
                if call is not None:
                    yield call
            case Counted(usage):
                self.usage = usage
            case Ended():
                self.usage = raw.usage or self.usage
                self.finish, self.model, self.served = raw.finish, raw.model, raw.served
                self.whole = raw.usage is not None
                yield from self._last_calls()

    def _parts(self, text: str) -> Iterable[tuple[tuple[str | int, ...], object]]:
        return () if self._reader is None else self._reader.feed(text)

    def _last_calls(self) -> Iterator[ToolCall]:
        """Give the calls that nothing but the end of the message ends."""
        for opened in self._opened.values():
            if opened.call is None:
                yield opened.end()

    def answer(self, used: Usage, name: str) -> Answer[str]:
        """Give what arrived as an answer of the model `name`, unless its provider named another."""
        text = "".join(self._texts)
        found = (self._opened[index].call for index in sorted(self._opened))
        calls = tuple(call for call in found if call is not None)
        model = self.model or name
        return Answer(text, used, model, text, calls, self.finish, served=self.served)

    @property
    def written(self) -> str:
        """All that the model wrote, tool calls too, as far as it arrived."""
        return "".join([*self._texts, *(each.written for each in self._opened.values())])

    def __repr__(self) -> str:
        """Say how much is there."""
        return f"<answer arriving, {len(self._texts)} pieces, {len(self._opened)} tool calls>"


class ToolArriving:
    """A tool call whose arguments are being written; `call` once they are whole."""

    __slots__ = ("_begun", "_reader", "_texts", "call")

    def __init__(self, begun: ToolBegun) -> None:
        """Begin before the first character of the arguments."""
        self._begun = begun
        self._reader = JsonReader(depth=0)
        self._texts: list[str] = []
        self.call: ToolCall | None = None

    def take(self, text: str) -> ToolCall | None:
        """Read on, and give the call where this was the last character of its arguments."""
        self._texts.append(text)
        if self.call is not None:
            return None
        self._reader.feed(text)
        return self.end() if self._reader.complete else None

    def end(self) -> ToolCall:
        """Give the call with the arguments that are there: none at all are no arguments."""
        self.call = read_call(self._begun, "".join(self._texts))
        return self.call

    @property
    def written(self) -> str:
        """The name and the arguments, as far as they arrived."""
        return self._begun.name + "".join(self._texts)

    def __repr__(self) -> str:
        """Name the tool."""
        return f"<call of {self._begun.name}, {'whole' if self.call else 'arriving'}>"


def read_call(begun: ToolBegun, text: str) -> ToolCall:
    """Give a tool call from the whole text of its arguments."""
    try:
        arguments = json.loads(text or "{}")
    except ValueError:
        return ToolCall(begun.id, begun.name, broken=text)
    if not isinstance(arguments, dict):
        return ToolCall(begun.id, begun.name, broken=text)
    return ToolCall(begun.id, begun.name, arguments)
