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

    def __post_init__(self) -> None:
        """Refuse another role, and a text that is none."""
        role: object = self.role
        if role not in ("user", "assistant"):
            msg = f'role is "user" or "assistant", got {role!r}'
            if role == "system":
                msg += ": a system text is said by Chat(messages, system=...)"
            raise ValueError(msg)
        _check_text("text", self.text)


@dataclass(frozen=True, slots=True)
class Chat:
    """A conversation to be gone on with: `system` first, then `shared`, then the messages.

    `shared` is a text that many conversations begin with, word for word; it is sent first and
    marked for the provider's cache.
    """

    messages: tuple[Message, ...]
    system: str = ""
    shared: str = ""

    def __post_init__(self) -> None:
        """Refuse what are no messages, and texts that are none."""
        given: object = self.messages
        if not isinstance(given, tuple) or not all(isinstance(each, Message) for each in given):
            msg = (
                'messages is a tuple of Message, such as (Message("user", "Why?"),), '
                f"got {self.messages!r}"
            )
            raise TypeError(msg)
        _check_text("system", self.system)
        _check_text("shared", self.shared)

    def then(self, *messages: Message) -> "Chat":
        """Give the same conversation with more messages."""
        return Chat((*self.messages, *messages), self.system, self.shared)

    def __repr__(self) -> str:
        """Count the messages, without their texts."""
        return f"<Chat of {len(self.messages)} messages>"


def _check_text(name: str, given: object) -> None:
    if not isinstance(given, str):
        msg = f"{name} is a str, got {given!r}"
        raise TypeError(msg)


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


def check_asked(asked: object) -> None:
    """Raise where it is nothing that a model can be asked."""
    if not isinstance(asked, (str, Prompt, Chat)):
        msg = f"a model is asked a str, a Prompt or a Chat, got {asked!r}"
        raise TypeError(msg)
    if isinstance(asked, Chat) and not asked.messages:
        msg = "a model is asked a Chat of at least one message, got one without any"
        raise ValueError(msg)


def several_asked(name: str, given: object) -> tuple[Asked, ...]:
    """Give questions; raise, naming the argument, where they are none, or a single one."""
    if isinstance(given, (str, Prompt, Chat)) or not isinstance(given, Iterable):
        msg = f"{name} are several questions, such as [first, second], got {given!r}"
        raise TypeError(msg)
    questions: tuple[Asked, ...] = tuple(given)
    for each in questions:
        if not isinstance(each, (str, Prompt, Chat)):
            msg = f"{name} are each a str, a Prompt or a Chat, got {each!r}"
            raise TypeError(msg)
    return questions
