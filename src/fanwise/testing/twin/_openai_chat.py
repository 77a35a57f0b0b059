"""OpenAI's chat completions: the wire."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from fanwise.testing.twin._fields import Fields
from fanwise.testing.twin._http import Route
from fanwise.testing.twin._values import (
    Ask,
    Counts,
    Json,
    Part,
    Reply,
    Role,
    Saying,
    TextDelta,
    Tool,
    ToolBegin,
    ToolDelta,
    ToolUse,
    compact,
)
from fanwise.testing.twin._wire import answer_by

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fanwise.testing.twin._http import Request
    from fanwise.testing.twin._turn import Turn
    from fanwise.testing.twin._values import Finish, Piece

_FINISH: Final[Mapping[Finish, str]] = {
    "stop": "stop",
    "length": "length",
    "tool_use": "tool_calls",
}
_ROLES: Final[Mapping[str, Role]] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}
DONE: Final = b"data: [DONE]\n\n"
PICTURE: Final = "[picture]"
"""What stands in the text for a part that the twin cannot read."""


class ChatWire:
    """The codec of `POST /v1/chat/completions`."""

    def read(self, request: Request) -> Ask:
        """Read a question."""
        fields = Fields(request.json())
        parts = tuple(
            part
            for place, each in enumerate(fields.items("messages"))
            for part in _parts(Fields(each, f"messages[{place}]"))
        )
        most = fields.count("max_completion_tokens")
        return Ask(
            protocol="openai",
            endpoint="chat",
            model=fields.text("model"),
            parts=parts,
            tools=tuple(_tools(fields)),
            tool_choice=read_choice(fields),
            max_tokens=fields.count("max_tokens") if most is None else most,
            stream=fields.flag("stream"),
            schema=_schema(fields),
            key=request.key,
            headers=request.headers,
            more={"usage": _wants_usage(fields)},
        )

    def write(self, turn: Turn, reply: Reply) -> Json:
        """Write an answer whole."""
        said = [block.text for block in reply.blocks if isinstance(block, Saying)]
        message: Json = {
            "role": "assistant",
            "content": "".join(said) if said else None,
            "refusal": None,
        }
        if reply.calls:
            message["tool_calls"] = [_call(use) for use in reply.calls]
        choice = {"index": 0, "message": message, "logprobs": None}
        choice["finish_reason"] = _FINISH[reply.finish]
        return _frame(turn, "chat.completion", [choice]) | {"usage": usage(reply.counts)}

    def encoder(self, turn: Turn) -> ChatEncoder:
        """Give what writes this answer in chunks."""
        return ChatEncoder(turn)


class ChatEncoder:
    """Writes a streamed completion."""

    __slots__ = ("_began", "_head", "_tail", "_turn")

    def __init__(self, turn: Turn) -> None:
        self._turn, self._began = turn, False
        # What is the same in each chunk is written once.
        frame = compact(_frame(turn, "chat.completion.chunk", []))
        start, end = frame.split('"choices":[]')
        self._head = f'data: {start}"choices":[{{"index":0,"delta":'
        usage_field = ',"usage":null' if turn.ask.more.get("usage") else ""
        self._tail = f',"logprobs":null,"finish_reason":%s}}]{end[:-1]}{usage_field}}}\n\n'

    def begin(self) -> bytes:
        """Write nothing: the first chunk comes with the first token."""
        return b""

    def piece(self, piece: Piece) -> bytes:
        """Write an increment."""
        delta = _delta(piece)
        return b"" if delta is None else self._opening() + self._chunk(delta)

    def end(self, reply: Reply) -> bytes:
        """Write the reason of the end, the usage where it is wanted, and the mark of the end."""
        told = self._opening() + self._chunk({}, f'"{_FINISH[reply.finish]}"')
        if self._turn.ask.more.get("usage"):
            frame = _frame(self._turn, "chat.completion.chunk", [])
            told += f"data: {compact(frame | {'usage': usage(reply.counts)})}\n\n".encode()
        return told + DONE

    def _opening(self) -> bytes:
        if self._began:
            return b""
        self._began = True
        return self._chunk({"role": "assistant", "content": "", "refusal": None})

    def _chunk(self, delta: Json, finish: str = "null") -> bytes:
        return f"{self._head}{compact(delta)}{self._tail % finish}".encode()


def usage(counts: Counts) -> Json:
    """Write the tokens."""
    return {
        "prompt_tokens": counts.tokens_in,
        "completion_tokens": counts.tokens_out,
        "total_tokens": counts.tokens_in + counts.tokens_out,
        "prompt_tokens_details": {"cached_tokens": counts.cached, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _frame(turn: Turn, kind: str, choices: list[Json]) -> Json:
    return {
        "id": turn.twin.name("chatcmpl-", turn.number),
        "object": kind,
        "created": turn.created,
        "model": turn.ask.model,
        "choices": choices,
        "service_tier": "default",
        "system_fingerprint": "fp_twin",
    }


def _call(use: ToolUse) -> Json:
    told = {"name": use.name, "arguments": use.text}
    return {"id": use.id, "type": "function", "function": told}


def _delta(piece: Piece) -> Json | None:
    match piece:
        case TextDelta(text=text):
            return {"content": text}
        case ToolBegin(call=call, use=use):
            told = {"name": use.name, "arguments": ""}
            named = {"index": call, "id": use.id, "type": "function", "function": told}
            return {"tool_calls": [named]}
        case ToolDelta(call=call, text=text):
            return {"tool_calls": [{"index": call, "function": {"arguments": text}}]}
        case _:
            return None


def _parts(message: Fields) -> Iterator[Part]:
    """Give the parts of a message; a call and a result keep the id of the call."""
    role = _ROLES.get(message.text("role"))
    if role is None:
        raise message.wrong("role", f"one of {', '.join(_ROLES)}")
    call = message.text("tool_call_id") if role == "tool" else None
    for text in _texts(message):
        yield Part(role, text, call=call)
    for place, each in enumerate(message.items("tool_calls", needed=False)):
        use = Fields(each, f"{message.path}.tool_calls[{place}]")
        function = use.fields("function")
        arguments = function.text("arguments", "")
        yield Part(role, arguments, call=use.text("id"), tool=function.text("name"))


def _texts(message: Fields) -> Iterator[str]:
    content = message.get("content")
    if isinstance(content, str):
        yield content
    elif isinstance(content, list):
        for place, each in enumerate(content):
            part = Fields(each, f"{message.path}.content[{place}]")
            yield part.text("text") if part.get("type") == "text" else PICTURE
    elif content is not None:
        raise message.wrong("content", "a string or an array of parts")
    elif message.get("tool_calls") is None:
        raise message.wrong("content", "a string, got null")


def _tools(fields: Fields) -> Iterator[Tool]:
    for place, each in enumerate(fields.items("tools", needed=False)):
        tool = Fields(each, f"tools[{place}]")
        if tool.get("type") == "custom":
            custom = tool.fields("custom")
            yield Tool(custom.text("name"), custom.text("description", ""))
        else:
            told = tool.fields("function")
            schema: Any = told.get("parameters") or {}
            yield Tool(told.text("name"), told.text("description", ""), schema)


def read_choice(fields: Fields) -> str:
    """Give "auto", "required", "none" or the name of a tool."""
    choice = fields.get("tool_choice")
    if choice is None or isinstance(choice, str):
        return choice or "auto"
    told = Fields(choice, "tool_choice")
    if told.get("type") == "allowed_tools":
        return told.fields("allowed_tools").text("mode", "auto")
    return told.fields("function").text("name")


def _schema(fields: Fields) -> Json | None:
    form = fields.fields("response_format", needed=False)
    kind = form.get("type")
    if kind == "json_schema":
        schema: Any = form.fields("json_schema").get("schema")
        return schema if isinstance(schema, dict) else {"type": "object"}
    if kind == "json_object":
        return {"type": "object"}
    return None


def _wants_usage(fields: Fields) -> bool:
    return fields.fields("stream_options", needed=False).flag("include_usage")


ROUTES: Final = [Route("POST", "/v1/chat/completions", answer_by(ChatWire()), "openai")]
