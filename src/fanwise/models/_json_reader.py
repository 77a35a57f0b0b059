"""JSON read while it is written: what is finished is told as soon as it is.

A model writes a structured answer, or the arguments of a tool, in pieces of a few characters. A
state machine reads each character once and keeps the containers that are open on a stack: the
cost is linear in the length of the text, however it is cut. A number or a word ends with the
character after it, everything else with its own last character, so that an object is known to be
whole with its brace, and not when a provider says so (0.3 to 0.4 s later).

Rejected: `pydantic_core.from_json(allow_partial=True)` over the text so far is three lines, and
quadratic, because each piece joins and parses everything anew. NaN and Infinity are no JSON and
are refused.
"""

import json
import re
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

Path: TypeAlias = tuple[str | int, ...]

_SPACE: Final = re.compile(r"[ \t\n\r]*")
_INSIDE: Final = re.compile(r'[^"\\]*(?:\\.[^"\\]*)*', re.DOTALL)
_ATOM: Final = re.compile(r"[-+.0-9A-Za-z]*")
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_WORDS: Final = {"true": True, "false": False, "null": None}


class JsonReader:
    """Reads one JSON value in pieces; `feed` gives the parts that a piece finished.

    A part is a (path, value) pair: a field or a list element whose path has at most `depth` names
    and indices, 1 for those of the value itself; inner parts come before the one that holds them.
    `complete` says that the whole `value` is there, `error` what is wrong and where (then nothing
    more is read). Containers inside each other: at most `nesting`.
    """

    __slots__ = (
        "_before", "_depth", "_found", "_nesting", "_open", "_path", "_pieces", "_slash", "_state",
        "error", "value",
    )  # fmt: skip

    def __init__(self, depth: int = 1, nesting: int = 100) -> None:
        """Start before the first character."""
        self.value: object = None
        self.error: str | None = None
        self._depth = depth
        self._nesting = nesting
        self._open: list[dict[str, object] | list[object]] = []
        self._path: list[str | int] = []
        self._pieces: list[str] = []
        self._found: list[tuple[Path, object]] = []
        self._slash = False
        self._before = 0
        self._state: Callable[[JsonReader, str, int], int] = JsonReader._value

    @property
    def complete(self) -> bool:
        """Whether the value has ended, and nothing but space came after it."""
        return self._state is JsonReader._rest and self.error is None

    def feed(self, text: str) -> list[tuple[Path, object]]:
        """Read on, and give the parts finished by this piece, in the order of their ends."""
        self._found = found = list[tuple[Path, object]]()
        at = 0
        try:
            while at < len(text) and self.error is None:
                at = self._state(self, text, at)
        except ValueError as error:
            self._fail(str(error), at)
        self._before += len(text)
        return found

    def end(self) -> None:
        """Say that no more text comes: a bare number ends here, anything unfinished is an error."""
        if self._state is JsonReader._atom and not self._open:
            self.feed(" ")
        if self.error is None and not self.complete:
            self._fail("the text ends before the value does", 0)

    def _fail(self, why: str, at: int) -> int:
        self.error = f"{why} (at character {self._before + at})"
        return at

    def _expect(self, wanted: str, text: str, at: int) -> int:
        if text[at] in " \t\n\r":
            return _end(_SPACE, text, at)
        return self._fail(f"{wanted} expected, found {text[at]!r}", at)

    def _value(self, text: str, at: int) -> int:
        char = text[at]
        if char == '"':
            self._state = JsonReader._string
        elif char in "{[":
            return self._descend({} if char == "{" else [], at)
        elif char in "-0123456789tfn":
            self._state = JsonReader._atom
            return at
        else:
            return self._expect("a JSON value", text, at)
        return at + 1

    def _descend(self, container: dict[str, object] | list[object], at: int) -> int:
        if len(self._open) == self._nesting:
            return self._fail(f"more than {self._nesting} containers inside each other", at)
        self._open.append(container)
        self._path.append(0)
        listed = isinstance(container, list)
        self._state = JsonReader._first_item if listed else JsonReader._first_key
        return at + 1

    def _first_item(self, text: str, at: int) -> int:
        return self._close(at) if text[at] == "]" else self._value(text, at)

    def _first_key(self, text: str, at: int) -> int:
        return self._close(at) if text[at] == "}" else self._key(text, at)

    def _key(self, text: str, at: int) -> int:
        if text[at] != '"':
            return self._expect("a name in double quotes", text, at)
        self._state = JsonReader._name
        return at + 1

    def _colon(self, text: str, at: int) -> int:
        if text[at] != ":":
            return self._expect("':'", text, at)
        self._state = JsonReader._value
        return at + 1

    def _after(self, text: str, at: int) -> int:
        holder = self._open[-1]
        listed = isinstance(holder, list)
        if text[at] == ",":
            if listed:
                self._path[-1] = len(holder)
            self._state = JsonReader._value if listed else JsonReader._key
            return at + 1
        closing = "]" if listed else "}"
        if text[at] == closing:
            return self._close(at)
        return self._expect(f"',' or '{closing}'", text, at)

    def _close(self, at: int) -> int:
        self._path.pop()
        self._finish(self._open.pop())
        return at + 1

    def _finish(self, value: object) -> None:
        if not self._open:
            self.value = value
            self._state = JsonReader._rest
            return
        holder = self._open[-1]
        if isinstance(holder, list):
            holder.append(value)
        else:
            holder[str(self._path[-1])] = value
        if len(self._path) <= self._depth:
            self._found.append((tuple(self._path), value))
        self._state = JsonReader._after

    def _string(self, text: str, at: int) -> int:
        end, whole = self._inside(text, at)
        if whole is not None:
            self._finish(whole)
        return end

    def _name(self, text: str, at: int) -> int:
        end, whole = self._inside(text, at)
        if whole is not None:
            self._path[-1] = whole
            self._state = JsonReader._colon
        return end

    def _inside(self, text: str, at: int) -> tuple[int, str | None]:
        """Read on in a string, and give it where it ends; an escape may be cut in half."""
        start = at
        if self._slash:
            self._slash = False
            at += 1
        end = _end(_INSIDE, text, at)
        if end == len(text) or text[end] == "\\":
            self._slash = end < len(text)
            self._pieces.append(text[start:])
            return len(text), None
        self._pieces.append(text[start:end])
        return end + 1, json.loads(f'"{self._take()}"')

    def _atom(self, text: str, at: int) -> int:
        end = _end(_ATOM, text, at)
        self._pieces.append(text[at:end])
        if end < len(text):
            self._finish(_number_or_word(self._take()))
        return end

    def _rest(self, text: str, at: int) -> int:
        return self._expect("nothing more", text, at)

    def _take(self) -> str:
        whole = "".join(self._pieces)
        self._pieces.clear()
        return whole

    def __repr__(self) -> str:
        """Show how far it has come."""
        state = self.error or ("complete" if self.complete else f"{len(self._open)} open")
        return f"<JsonReader after {self._before} characters: {state}>"


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    return at if found is None else found.end()


def _number_or_word(text: str) -> object:
    if text in _WORDS:
        return _WORDS[text]
    number = _NUMBER.fullmatch(text)
    if number is None:
        raise ValueError(f"{text[:40]!r} is neither a number nor true, false or null")
    return int(text) if number[1] is None and number[2] is None else float(text)
