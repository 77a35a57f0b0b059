"""What the tools of one message answered, and how failures are told to the model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fanwise.core import BreakerOpen, TimedOut
from fanwise.models._chat import Message, ToolResult

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fanwise.core import Call
    from fanwise.models._answer import Answer

LONGEST_ERROR = 2000  # characters of an exception that a model is shown
AMBIGUOUS = "; it may or may not have happened, so find out before you repeat it"


@dataclass(frozen=True, slots=True)
class ToolResults:
    """The results of a message's tool calls, in their order: one for every call.

    `values` has what the tools gave, by the id of the call, before it was made text; `collapsed`
    the ids whose result is that of another, identical call (to the other's id).
    """

    results: tuple[ToolResult, ...]
    values: Mapping[str, object] = field(default_factory=dict)
    collapsed: Mapping[str, str] = field(default_factory=dict)

    @property
    def message(self) -> Message:
        """The results as a message, to go on with: `chat.then(answer.message, turn.message)`."""
        return Message("user", results=self.results)

    @property
    def failed(self) -> tuple[ToolResult, ...]:
        """Those that say why they could not."""
        return tuple(result for result in self.results if result.failed)

    def __repr__(self) -> str:
        """Count, and name what failed."""
        failed = ", ".join(result.name for result in self.failed)
        more = f", failed: {failed}" if failed else ""
        return f"<{type(self).__name__} of {len(self.results)} calls{more}>"


@dataclass(frozen=True, slots=True, repr=False, kw_only=True)
class Turn(ToolResults):
    """One turn of a conversation: the model's answer, and the results of the tools it asked for."""

    answer: Answer[Any]

    @property
    def messages(self) -> tuple[Message, ...]:
        """The answer, and the results where there are any: `chat.then(*turn.messages)`."""
        said = self.answer.message
        return (said, self.message) if self.results else (said,)


def failure_text(name: str, call: Call[Any], error: BaseException | None) -> str:
    """Tell a model why a tool gave nothing."""
    more = AMBIGUOUS if call.facts and "ambiguous" in call.facts else ""
    if isinstance(error, BreakerOpen):
        return unavailable(name, "it failed too often lately")
    if isinstance(error, TimedOut):
        return f"{name} took too long: {error}{more}"
    told = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return f"{name} failed: {told[:LONGEST_ERROR]}{more}"


def unavailable(name: str, why: str) -> str:
    """Tell a model that a tool is not to be called again for now."""
    return f"{name} is unavailable, {why}: do not call it again this turn"
