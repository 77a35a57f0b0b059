"""What is answered: scripts, rules, functions. Each is a callable from an `Ask` to its answer."""

from __future__ import annotations

import random
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from fanwise.testing.twin._schema import fill
from fanwise.testing.twin._values import (
    Ask,
    Block,
    Json,
    Saying,
    ToolUse,
    compact,
    is_count,
)

Said: TypeAlias = str | Block | Sequence[Block]
Rule: TypeAlias = Callable[[Ask], Said | Awaitable[Said]]
Answering: TypeAlias = str | Rule

_PASSAGE: Final = re.compile(
    r"^\[(\d{1,9})\][^\n]*\n(.*?)(?=^\[\d{1,9}\]|\Z)", re.MULTILINE | re.DOTALL
)
_CANDIDATE: Final = re.compile(r"^\s*(?:\[(\d{1,9})\]|(\d{1,9})[.):])", re.MULTILINE)
_HEADING: Final = re.compile(r"^#.*$", re.MULTILINE)
_SENTENCE: Final = re.compile(r"\S(?:(?!\n\s*\n).)*?[.!?](?=\s|\Z)", re.DOTALL)
_ANY: Final = "*"


def echo(ask: Ask) -> Said:
    """Answer what the user said last."""
    return ask.question


def extract(ask: Ask) -> Said:
    """Answer with JSON: the schema, filled from the text of the user.

    A tool that must be called is called so; without a schema or such a tool every `name: value`
    of the text is given as a field.
    """
    if (tool := _demanded(ask)) is not None:
        return tool
    if ask.schema is not None:
        return compact(fill(ask.schema, ask.question))
    pairs = re.findall(r"^\s*([\w -]{1,60}?)\s*[:=]\s*(.+)$", ask.question, re.MULTILINE)
    return compact({name.strip(): value.strip() for name, value in pairs})


@dataclass(frozen=True, slots=True)
class Choose:
    """Answer the number of one of the numbered candidates (`[1] ...`, `1. ...`), drawn by text.

    `liking` prefers the candidate whose text holds it; where none does, one is drawn.
    """

    liking: str | None = None
    seed: int = 0

    def __call__(self, ask: Ask) -> Said:
        """Choose."""
        found = list(_CANDIDATE.finditer(ask.question))
        if not found:
            return "There are no numbered candidates."
        ends = [*(each.start() for each in found[1:]), len(ask.question)]
        liked = [
            each
            for each, end in zip(found, ends, strict=True)
            if self.liking is not None and self.liking in ask.question[each.start() : end]
        ]
        drawn = random.Random(f"{self.seed}:{ask.model}:{ask.question}")
        chosen = liked[0] if liked else drawn.choice(found)
        number = int(chosen[1] or chosen[2])
        if (tool := _demanded(ask, number)) is not None:
            return tool
        return str(number) if ask.schema is None else compact(fill(ask.schema, f"{number}"))


@dataclass(frozen=True, slots=True)
class Quoting:
    """Answer sentences of the numbered passages, one a line, each written `[n] sentence`.

    The first `each` sentences of every passage; a heading, and a text without an end, is none.
    """

    each: int = 2

    def __post_init__(self) -> None:
        """Refuse to quote nothing."""
        if not is_count(self.each, 1):
            raise ValueError(f"each={self.each!r}: sentences of a passage, 1 or more")

    def __call__(self, ask: Ask) -> Said:
        """Quote."""
        lines = [
            f"[{passage[1]}] {' '.join(sentence.split())}"
            for passage in _PASSAGE.finditer(ask.question)
            for sentence in _SENTENCE.findall(_HEADING.sub("\n", passage[2]))[: self.each]
        ]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Calls:
    """Call tools, and answer in words once their results are there.

    `calls` are tools with their arguments (`None`: filled from the text by the tool's schema);
    `before` is said before the calls, `after` once the results are there ("{results}" stands for
    them).
    """

    calls: Sequence[tuple[str, Json | None]]
    before: str = ""
    after: str = "{results}"

    def __post_init__(self) -> None:
        """Refuse what are no calls."""
        for each in self.calls:
            named: object = each
            if not (isinstance(named, (tuple, list)) and len(named) == 2):
                msg = f'calls holds {each!r}: a tool and its arguments, such as ("look", {{}})'
                raise TypeError(msg)

    def __call__(self, ask: Ask) -> Said:
        """Call or answer."""
        if results := ask.results:
            told = "\n".join(part.text for part in results)
            return self.after.replace("{results}", told)
        schemas = {tool.name: tool.schema for tool in ask.tools}
        blocks: list[Block] = [Saying(self.before)] if self.before else []
        for name, given in self.calls:
            arguments = fill(schemas.get(name, {}), ask.question) if given is None else given
            blocks.append(ToolUse(name, arguments if isinstance(arguments, dict) else {}))
        return blocks


def auto(ask: Ask) -> Said:
    """Answer as what is asked asks for.

    A tool that must be called and a schema are filled from the text, numbered passages under the
    words `[n] sentence` are quoted, and everything else is echoed.
    """
    if ask.schema is not None or _demanded(ask) is not None:
        return extract(ask)
    if "[n] sentence" in "".join(part.text for part in ask.parts):
        return Quoting()(ask)
    if ask.results:
        return "\n".join(part.text for part in ask.results)
    return ask.question


@dataclass(slots=True)
class Script:
    """Answers by script: those whose key stands in the question, else the next of `answers`.

    `matches` are looked through in order; a key is a text that the question holds. When the
    answers are at their end they begin anew (`repeat=True`) or `otherwise` is asked.
    """

    answers: Sequence[Said] = ()
    matches: Mapping[str, Said] = field(default_factory=dict)
    repeat: bool = False
    otherwise: Rule = auto
    _given: int = field(default=0, init=False, repr=False)

    def __post_init__(self) -> None:
        """Refuse a script of what are no answers."""
        if isinstance(self.answers, str) or not isinstance(self.answers, Sequence):
            msg = f'answers={self.answers!r}: a list of answers, such as Script(["yes", "no"])'
            raise TypeError(msg)
        for said in (*self.answers, *self.matches.values()):
            to_blocks(said)

    def __call__(self, ask: Ask) -> Said | Awaitable[Said]:
        """Give the next answer."""
        for key, said in self.matches.items():
            if key in ask.question:
                return said
        if self._given >= len(self.answers) and not (self.repeat and self.answers):
            return self.otherwise(ask)
        said = self.answers[self._given % len(self.answers)]
        self._given += 1
        return said


RULES: Final[Mapping[str, Rule]] = {
    "auto": auto,
    "choose": Choose(),
    "echo": echo,
    "extract": extract,
    "quote": Quoting(),
}


def answering(given: Answering | Mapping[str, Answering], seed: int) -> Rule:
    """Give the rule that a name, a function or a table by model stands for."""
    if not isinstance(given, Mapping):
        return _rule(given, seed)
    table = {model: _rule(each, seed) for model, each in given.items()}
    otherwise = table.get(_ANY, auto)
    return lambda ask: table.get(ask.model, otherwise)(ask)


def _rule(given: Answering, seed: int) -> Rule:
    if given == "choose":
        return Choose(seed=seed)
    if isinstance(given, str):
        if given not in RULES:
            msg = f"answers={given!r}: one of {', '.join(RULES)}, a Script or a function of the Ask"
            raise ValueError(msg)
        return RULES[given]
    if not callable(given):
        raise TypeError(f"answers={given!r}: a rule's name, a Script or a function of the Ask")
    return given


def to_blocks(said: Said) -> tuple[Block, ...]:
    """Give the blocks of an answer that a rule gave."""
    if isinstance(said, str):
        return (Saying(said),)
    if isinstance(said, Saying | ToolUse):
        return (said,)
    given: object = said
    blocks = tuple(given) if isinstance(given, Iterable) else (given,)
    for block in blocks:
        if not isinstance(block, Saying | ToolUse):
            raise TypeError(
                f"an answer is a str, a Saying, a ToolUse or a list of them, not {block!r}"
            )
    return blocks


def _demanded(ask: Ask, value: object = None) -> ToolUse | None:
    """Give the call of the tool that must be called, filled from the text."""
    if ask.tool_choice in ("auto", "none") or not ask.tools:
        return None
    named = [tool for tool in ask.tools if tool.name == ask.tool_choice]
    tool = named[0] if named else ask.tools[0]
    filled = fill(tool.schema, ask.question if value is None else f"{value}")
    return ToolUse(tool.name, filled if isinstance(filled, dict) else {})
