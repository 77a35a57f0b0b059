"""What pydantic-ai gives, in our words: answers, pieces of answers, usage, why they ended."""

import json
from collections.abc import Iterator
from typing import Final

from pydantic_ai.messages import (
    FinishReason,
    ModelResponse,
    ModelResponseStreamEvent,
    PartDeltaEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
    ToolCallPart,
    ToolCallPartDelta,
)
from pydantic_ai.usage import RequestUsage

from fanwise.models import (
    Answer,
    BrokenAnswer,
    Counted,
    Ended,
    Finish,
    RawPiece,
    Text,
    ToolBegun,
    ToolCall,
    ToolText,
    Usage,
)
from fanwise.providers._ai._ask import ANSWER_TOOL
from fanwise.providers._ai._wrapping import Unwrapping, unwrapped

_FINISH: Final[dict[FinishReason, Finish]] = {
    "stop": "stop",
    "length": "length",
    "tool_call": "tools",
    "content_filter": "refused",
}


def to_usage(used: RequestUsage) -> Usage:
    """Give the tokens; `input_tokens` holds those read from and written to a cache already."""
    return Usage(
        used.input_tokens,
        used.output_tokens,
        cached=used.cache_read_tokens,
        written=used.cache_write_tokens,
    )


def to_finish(reason: FinishReason | None, *, calls: bool) -> Finish:
    """Say why an answer ended; some providers say "stop" where tools are asked for."""
    finish: Finish = "cut" if reason is None else _FINISH.get(reason, "cut")
    if finish == "tools" and not calls:
        return "stop"
    return "tools" if finish == "stop" and calls else finish


def to_answer(response: ModelResponse, model: str, *, wrapped: bool) -> Answer[str]:
    """Give a whole answer; `wrapped` where the value asked for was wrapped in an object."""
    texts: list[str] = []
    calls: list[ToolCall] = []
    for part in response.parts:
        if isinstance(part, TextPart):
            texts.append(part.content)
        elif isinstance(part, ToolCallPart):
            if part.tool_name == ANSWER_TOOL:
                texts.append(part.args_as_json_str())
            else:
                calls.append(to_call(part))
    finish = to_finish(response.finish_reason, calls=bool(calls))
    text = "".join(texts) or (_refusal(response) if finish == "refused" else "")
    text = unwrapped(text) if wrapped else text
    served = response.model_name or ""
    used = to_usage(response.usage)
    return Answer(text, used, model, text, tuple(calls), finish, served=served)


def to_call(part: ToolCallPart) -> ToolCall:
    """Give a tool call; arguments that are no JSON object are kept as the text that they are."""
    found = part.args or {}
    if isinstance(found, str):
        text = found
        try:
            found = json.loads(text)
        except ValueError:
            return ToolCall(part.tool_call_id, part.tool_name, broken=text)
        if not isinstance(found, dict):
            return ToolCall(part.tool_call_id, part.tool_name, broken=text)
    return ToolCall(part.tool_call_id, part.tool_name, found)


def _refusal(response: ModelResponse) -> str:
    """Give what the model said instead of an answer, if it did."""
    said = (response.provider_details or {}).get("refusal")
    return said if isinstance(said, str) else ""


class Reading:
    """The events of one stream, read as pieces: text, and tool calls by their place among these."""

    __slots__ = ("_answers", "_calls", "_counted", "_unwrapping")

    def __init__(self, *, wrapped: bool) -> None:
        """Begin at the beginning of an answer."""
        self._calls: dict[int, int] = {}  # index among the parts -> among the tool calls
        self._answers: set[int] = set()  # parts by which the model gives its answer in JSON
        self._counted = False
        self._unwrapping = Unwrapping() if wrapped else None

    def read(self, event: ModelResponseStreamEvent, used: RequestUsage) -> Iterator[RawPiece]:
        """Give what an event adds, and once the counts told at the answer's beginning."""
        if not self._counted and used.input_tokens:
            self._counted = True
            yield Counted(to_usage(used))
        if isinstance(event, PartStartEvent):
            if isinstance(event.part, TextPart):
                yield from self._text(event.part.content)
            elif isinstance(event.part, ToolCallPart):
                yield from self._begin(event.index, event.part)
        elif isinstance(event, PartDeltaEvent):
            if isinstance(event.delta, TextPartDelta):
                yield from self._text(event.delta.content_delta)
            elif isinstance(event.delta, ToolCallPartDelta):
                yield from self._more(event.index, event.delta)

    def end(self, response: ModelResponse, model: str) -> Iterator[RawPiece]:
        """Give what was held back, and the last piece."""
        rest = "" if self._unwrapping is None else self._unwrapping.rest()
        if rest:
            yield Text(rest)
        finish = to_finish(response.finish_reason, calls=bool(self._calls))
        if finish == "cut":
            raise BrokenAnswer(f"the stream of {model} ended before the answer did")
        if finish == "refused" and (said := _refusal(response)):
            yield Text(said)
        used = to_usage(response.usage) if response.usage.has_values() else None
        yield Ended(used, finish, model, response.model_name or "")

    def _text(self, text: str) -> Iterator[Text]:
        given = text if self._unwrapping is None else self._unwrapping.feed(text)
        if given:
            yield Text(given)

    def _begin(self, index: int, part: ToolCallPart) -> Iterator[RawPiece]:
        if part.tool_name == ANSWER_TOOL:
            self._answers.add(index)
            yield from self._text(_written(part.args))
            return
        place = self._calls[index] = len(self._calls)
        yield ToolBegun(place, part.tool_call_id, part.tool_name)
        if text := _written(part.args):
            yield ToolText(place, text)

    def _more(self, index: int, delta: ToolCallPartDelta) -> Iterator[RawPiece]:
        text = _written(delta.args_delta)
        if index in self._answers:
            yield from self._text(text)
        elif text:
            yield ToolText(self._calls[index], text)

    def __repr__(self) -> str:
        """Show how many tool calls have begun."""
        return f"<Reading, {len(self._calls)} tool calls>"


def _written(args: str | dict[str, object] | None) -> str:
    """Give arguments as the text of which they are a piece; some providers send them whole."""
    if isinstance(args, str):
        return args
    return json.dumps(args) if args else ""
