"""What a model answered, whole and in pieces."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Generic, Literal, TypeVar

from fanwise.models._chat import Message, ToolCall
from fanwise.models._usage import Usage

T_co = TypeVar("T_co", covariant=True)

Finish = Literal["stop", "length", "tools", "refused", "cut"]
"""Why an answer ends: of itself, at `max_tokens`, to have tools run, unwillingly, or broken off."""


@dataclass(frozen=True, slots=True)
class Answer(Generic[T_co]):
    """What a model answered, with the tokens used and the model's address.

    `value` is the text, or the validated object where `output=` was asked for. `cost` is in US
    dollars, `None` where the model's price is not known, or not yet loaded (a thread begins with
    the first question; the record has the cost in any case). `served` is the provider's own name of
    what answered, dated where it tells so, "" where it tells none.
    """

    text: str
    usage: Usage
    model: str
    value: T_co
    calls: tuple[ToolCall, ...] = ()
    finish: Finish = "stop"
    cost: Decimal | None = None
    served: str = ""

    @property
    def complete(self) -> bool:
        """Whether the model said all that it wanted to say."""
        return self.finish in ("stop", "tools")

    @property
    def message(self) -> Message:
        """The answer as a message, to go on with."""
        return Message("assistant", self.text, self.calls)


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of text of an answer that is being written."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolBegun:
    """The model begins to ask for a tool; `index` is the place among the message's tool calls."""

    index: int
    id: str
    name: str


@dataclass(frozen=True, slots=True)
class ToolText:
    """A piece of the JSON text of a tool's arguments."""

    index: int
    text: str


@dataclass(frozen=True, slots=True)
class Counted:
    """What the provider has counted so far, in all, while the answer is still being written.

    It is what is known of an answer that never ends: some providers tell the input at its start.
    """

    usage: Usage


@dataclass(frozen=True, slots=True)
class Ended:
    """The last piece of an answer: usage as far as the provider reported it, and why it ended.

    `model` and `served` are as those of an `Answer`.
    """

    usage: Usage | None
    finish: Finish
    model: str
    served: str = ""


RawPiece = Text | ToolBegun | ToolText | Counted | Ended
"""What a provider's stream gives."""


@dataclass(frozen=True, slots=True)
class Part:
    """A finished field or list element of a structured answer that is still being written.

    `path` leads to it from the root: names of fields and indices of elements.
    """

    path: tuple[str | int, ...]
    value: object


Piece = Text | Part | ToolCall | Answer[object]
"""What `Model.stream` gives: pieces of text, finished parts, whole tool calls, the answer last."""
