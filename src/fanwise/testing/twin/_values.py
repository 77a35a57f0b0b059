"""The values that both wires speak: what was asked, what is said, and in which pieces."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

Protocol: TypeAlias = Literal["openai", "anthropic"]
Role: TypeAlias = Literal["system", "user", "assistant", "tool"]
Finish: TypeAlias = Literal["stop", "length", "tool_use"]
Json: TypeAlias = dict[str, Any]

CHARACTERS: Final = 4
"""Characters of a token: the twin's tokens are slices of the text, which both sides can count."""
NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


def count_tokens(text: str) -> int:
    """Give the tokens of a text: its characters by four, rounded up."""
    return -(-len(text) // CHARACTERS)


def is_number(value: object) -> bool:
    """Tell whether it is a number, which may be compared; a bool is none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_count(value: object, least: int) -> bool:
    """Tell whether it is a whole number of at least `least`."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def cut_tokens(text: str) -> list[str]:
    """Cut a text into its tokens, which put together give it again."""
    return [text[at : at + CHARACTERS] for at in range(0, len(text), CHARACTERS)]


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of the prompt: a text, or a tool's result (`call` is the id of its call).

    `mark` is a cache mark after this part ("5m", "1h"), `tool` the name of the tool that was
    called, where this part is an assistant's call of it.
    """

    role: Role
    text: str
    mark: Literal["5m", "1h"] | None = None
    call: str | None = None
    tool: str | None = None


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that the model may call, with the JSON schema of its arguments."""

    name: str
    description: str = ""
    schema: Json = field(default_factory=dict)
    mark: Literal["5m", "1h"] | None = None


@dataclass(frozen=True, slots=True)
class Ask:
    """One question to a model, whatever the wire that it came over.

    `tool_choice` is "auto", "required", "none" or the name of a tool. `max_tokens` is the
    greatest number of tokens wanted (`None`: no bound), `schema` what a structured answer must
    validate against. `endpoint` is "chat", "responses", "messages", "embeddings" and the like.
    `more` is what the wire alone needs, such as whether a stream is to end with its usage.
    """

    protocol: Protocol
    endpoint: str
    model: str
    parts: tuple[Part, ...]
    tools: tuple[Tool, ...] = ()
    tool_choice: str = "auto"
    max_tokens: int | None = None
    stream: bool = False
    schema: Json | None = None
    batch: bool = False
    key: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    more: Mapping[str, object] = field(default_factory=dict)

    def __repr__(self) -> str:
        """Show where it goes and how much it is, not its text."""
        return f"<Ask {self.endpoint} {self.model} {len(self.parts)} parts {self.tokens} tokens>"

    @property
    def tokens(self) -> int:
        """The tokens of the input: parts, tools and schema, each counted for itself."""
        told = sum(count_tokens(part.text) for part in self.parts)
        return told + sum(count_tokens(text) for text in self.preamble)

    @property
    def preamble(self) -> tuple[str, ...]:
        """What a model reads before the first part: its tools and the schema, as text."""
        texts = [f"{tool.name}{tool.description}{compact(tool.schema)}" for tool in self.tools]
        if self.schema is not None:
            texts.append(compact(self.schema))
        return tuple(texts)

    @property
    def question(self) -> str:
        """The text of the last part that a user said; empty where there is none."""
        said = [part.text for part in self.parts if part.role == "user" and part.call is None]
        return said[-1] if said else ""

    @property
    def results(self) -> tuple[Part, ...]:
        """The results of tools since the last words of the user."""
        found: list[Part] = []
        for part in self.parts:
            if part.role == "user" and part.call is None:
                found.clear()
            elif part.call is not None and part.tool is None:
                found.append(part)
        return tuple(found)


@dataclass(frozen=True, slots=True)
class Saying:
    """A block of text in an answer."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolUse:
    """A call of a tool in an answer.

    `id` is given by the twin where it is empty. `raw` is what goes over the wire where it is not
    the JSON of `arguments`: an answer that was cut, or one that is wrong on purpose.
    """

    name: str
    arguments: Json
    id: str = ""
    raw: str | None = None

    @property
    def text(self) -> str:
        """The arguments as they go over the wire."""
        return compact(self.arguments) if self.raw is None else self.raw


Block: TypeAlias = Saying | ToolUse


@dataclass(frozen=True, slots=True)
class Counts:
    """Tokens of a request.

    `tokens_in` is all of the input: `cached` (read from the cache) and `written` (to the cache,
    `written_long` of them for an hour) are parts of it.
    """

    tokens_in: int = 0
    cached: int = 0
    written: int = 0
    tokens_out: int = 0
    written_long: int = 0


@dataclass(frozen=True, slots=True)
class Reply:
    """What is answered: blocks in order, why it ends, and what it took."""

    blocks: tuple[Block, ...]
    finish: Finish
    counts: Counts

    @property
    def text(self) -> str:
        """All texts, put together."""
        return "".join(block.text for block in self.blocks if isinstance(block, Saying))

    @property
    def calls(self) -> tuple[ToolUse, ...]:
        """The calls of tools, in order."""
        return tuple(block for block in self.blocks if isinstance(block, ToolUse))


@dataclass(frozen=True, slots=True)
class TextBegin:
    """Block `index` of the answer begins, and is text."""

    index: int


@dataclass(frozen=True, slots=True)
class TextDelta:
    """The next token of the text of block `index`."""

    index: int
    text: str


@dataclass(frozen=True, slots=True)
class ToolBegin:
    """Block `index` of the answer begins, and is a call; `call` counts the calls from 0."""

    index: int
    call: int
    use: ToolUse


@dataclass(frozen=True, slots=True)
class ToolDelta:
    """The next token of the arguments of call `call`, which is block `index`."""

    index: int
    call: int
    text: str


@dataclass(frozen=True, slots=True)
class BlockEnd:
    """Block `index` is complete."""

    index: int
    block: Block


Piece: TypeAlias = TextBegin | TextDelta | ToolBegin | ToolDelta | BlockEnd
"""An increment of a streamed answer; a delta is one token."""


def compact(value: object) -> str:
    """Write JSON as small as it goes."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
