"""What is said to a model and by it: messages, the tools it asks for, and their results."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from fanwise.core import whole
from fanwise.models._prompt import Prompt

Role = Literal["user", "assistant"]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool that a model asks for: `id` is the model's own, `arguments` what it wrote.

    `broken` holds the text of arguments that are no JSON object; `arguments` is then empty.
    """

    id: str
    name: str
    arguments: Mapping[str, object] = field(default_factory=dict)
    broken: str | None = None


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool answered to the call `id`; `failed` where the text says why it could not."""

    id: str
    name: str
    text: str
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Message:
    """One message: of the user (a text, or results of tools) or of the model (text, tool calls)."""

    role: Role
    text: str = ""
    calls: tuple[ToolCall, ...] = ()
    results: tuple[ToolResult, ...] = ()


@dataclass(frozen=True, slots=True)
class Chat:
    """A conversation to be gone on with: `system` first, then `shared`, then the messages.

    `shared` is a text that many conversations begin with, word for word; it is sent first and
    marked for the provider's cache.
    """

    messages: tuple[Message, ...]
    system: str = ""
    shared: str = ""

    def then(self, *messages: Message) -> "Chat":
        """Give the same conversation with more messages."""
        return Chat((*self.messages, *messages), self.system, self.shared)

    def __repr__(self) -> str:
        """Count the messages, without their texts."""
        return f"<Chat of {len(self.messages)} messages>"


Asked = str | Prompt | Chat
"""What a model may be asked: a text, a task over passages, a conversation."""


def check_asked(asked: object, max_tokens: int | None = None) -> None:
    """Raise where it is nothing that a model can be asked, or no bound of its answer."""
    if not isinstance(asked, (str, Prompt, Chat)):
        msg = f"a model is asked a str, a Prompt or a Chat, got {asked!r}"
        raise TypeError(msg)
    if max_tokens is not None:
        whole("max_tokens", max_tokens, 1)


def as_questions(name: str, given: Iterable[Asked]) -> tuple[Asked, ...]:
    """Give several questions; raise, naming the argument, for a single one, which has parts too."""
    if isinstance(given, (str, Prompt, Chat)) or not isinstance(given, Iterable):
        msg = f"{name} are several questions, such as [question], got {given!r}"
        raise TypeError(msg)
    asked = tuple(given)
    for each in asked:
        check_asked(each)
    return asked


def as_chat(asked: Asked) -> Chat:
    """Give any question as a conversation."""
    if isinstance(asked, Chat):
        return asked
    if isinstance(asked, Prompt):
        return Chat((Message("user", asked.text()),), shared=asked.shared)
    return Chat((Message("user", asked),))
