"""OpenAI's responses: what a request says, and how an answer is written, whole or streamed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fanwise.testing.twin._fields import Fields
from fanwise.testing.twin._reading import inner, malformed, objects, one_of, read_json
from fanwise.testing.twin._sse import named_event
from fanwise.testing.twin._values import (
    Ask,
    BlockEnd,
    Counts,
    Part,
    Saying,
    TextBegin,
    TextDelta,
    Tool,
    ToolBegin,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fanwise.testing.twin._values import Block, Finish, Json, Piece, Reply, Role

_ROLES: dict[str, Role] = {
    "user": "user",
    "assistant": "assistant",
    "system": "system",
    "developer": "system",
}
_TEXTS = {"input_text": "text", "output_text": "text", "refusal": "refusal"}
_UNREAD = {"input_image": "[image]", "input_file": "[file]"}
_NOT_SPOKEN = ("background", "conversation", "prompt")


def read_response(body: Fields, earlier: tuple[Part, ...] = ()) -> Ask:
    """Return what a request asks; raises Refused (400), which names the field that is wrong.

    `earlier` is the conversation that `previous_response_id` stands for. Instructions are not
    carried over from it, as documented. Sampling, reasoning and metadata change nothing.
    """
    for name in _NOT_SPOKEN:
        if body.get(name) not in (None, False):
            raise malformed(f"the twin does not speak {name!r}", name)
    tools = tuple(_tool(tool) for tool in objects(body, "tools"))
    instructions = body.text("instructions", "")
    return Ask(
        protocol="openai",
        endpoint="responses",
        model=body.text("model"),
        parts=(
            *((Part("system", instructions),) if instructions else ()),
            *earlier,
            *_input(body, earlier),
        ),
        tools=tools,
        tool_choice=_choice(body, tools),
        max_tokens=body.count("max_output_tokens"),
        stream=body.flag("stream"),
        schema=_schema(body),
    )


def _input(body: Fields, earlier: tuple[Part, ...]) -> Iterator[Part]:
    given = body.get("input")
    if isinstance(given, str):
        yield Part("user", given)
        return
    if given is None:
        raise body.wrong("input", "a string or an array")
    called = {part.call for part in earlier if part.tool is not None}
    for item in objects(body, "input"):
        for part in _item(item):
            if part.role == "tool" and part.call not in called:
                msg = f"No tool call found for function call output with call_id {part.call}."
                raise malformed(msg, "input")
            if part.tool is not None:
                called.add(part.call)
            yield part


def _item(item: Fields) -> Iterator[Part]:
    kind = item.text("type", "message")
    if kind == "message":
        role = _ROLES[one_of(item, "role", tuple(_ROLES))]
        yield from (Part(role, text) for text in _texts(item, "content"))
    elif kind == "function_call":
        arguments = item.text("arguments")
        yield Part("assistant", arguments, call=item.text("call_id"), tool=item.text("name"))
    elif kind == "function_call_output":
        yield Part("tool", "\n".join(_texts(item, "output")), call=item.text("call_id"))
    elif kind != "reasoning":
        raise malformed(f"the twin knows no input item of type {kind!r}", item.at("type"))


def _texts(holder: Fields, name: str) -> Iterator[str]:
    value = holder.get(name)
    if value is None:
        raise holder.wrong(name, "a string or an array")
    if isinstance(value, str):
        yield value
        return
    for content in objects(holder, name):
        kind = one_of(content, "type", (*_TEXTS, *_UNREAD))
        yield content.text(_TEXTS[kind]) if kind in _TEXTS else _UNREAD[kind]


def _tool(tool: Fields) -> Tool:
    if tool.text("type") != "function":
        msg = f"the twin runs no hosted tools, such as {tool.text('type')!r}"
        raise malformed(msg, tool.at("type"))
    schema = read_json(tool, "parameters", needed=False)
    return Tool(tool.text("name"), tool.text("description", ""), schema)


def _choice(body: Fields, tools: tuple[Tool, ...]) -> str:
    given = body.get("tool_choice")
    if given is None or isinstance(given, str):
        return one_of(body, "tool_choice", ("auto", "required", "none"), "auto")
    choice = Fields(given, "tool_choice")
    one_of(choice, "type", ("function",))
    name = choice.text("name")
    if name not in {tool.name for tool in tools}:
        raise malformed(f"Tool choice 'function' {name!r} not found in 'tools'", "tool_choice")
    return name


def _schema(body: Fields) -> Json | None:
    text = inner(body, "text")
    wanted = inner(text, "format") if text is not None else None
    if wanted is None:
        return None
    kind = one_of(wanted, "type", ("text", "json_object", "json_schema"))
    if kind == "text":
        return None
    if kind == "json_object":
        return {"type": "object"}
    wanted.text("name")
    return read_json(wanted, "schema")


# ------------------------------------------------------------------------------------- answers


def write_usage(counts: Counts) -> Json:
    """Return `usage`; the input includes what came from the cache."""
    return {
        "input_tokens": counts.tokens_in,
        "input_tokens_details": {"cached_tokens": counts.cached, "cache_write_tokens": 0},
        "output_tokens": counts.tokens_out,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": counts.tokens_in + counts.tokens_out,
    }


@dataclass(frozen=True, slots=True)
class Frame:
    """What every shape of one response repeats: its id, model, second, and what was asked."""

    id: str
    model: str
    created: int
    asked: Json

    def write(self, status: str, output: list[Json], **more: object) -> Json:
        """Return the response object."""
        asked = self.asked
        return {
            "id": self.id,
            "object": "response",
            "created_at": self.created,
            "status": status,
            "error": None,
            "incomplete_details": None,
            "instructions": asked.get("instructions"),
            "max_output_tokens": asked.get("max_output_tokens"),
            "metadata": asked.get("metadata") or {},
            "model": self.model,
            "output": output,
            "parallel_tool_calls": asked.get("parallel_tool_calls") is not False,
            "previous_response_id": asked.get("previous_response_id"),
            "store": asked.get("store") is not False,
            "temperature": asked.get("temperature", 1.0),
            "text": asked.get("text") or {"format": {"type": "text"}},
            "tool_choice": asked.get("tool_choice") or "auto",
            "tools": asked.get("tools") or [],
            "top_p": asked.get("top_p", 1.0),
            "truncation": "disabled",
            "usage": None,
            **more,
        }

    def item(self, index: int, block: Block, status: str) -> Json:
        """Return one item of the output."""
        if isinstance(block, Saying):
            return {
                "id": f"msg_{self.id[5:]}_{index}",
                "type": "message",
                "role": "assistant",
                "status": status,
                "content": [_text_part(block.text)],
            }
        return {
            "id": f"fc_{self.id[5:]}_{index}",
            "type": "function_call",
            "call_id": block.id,
            "name": block.name,
            "arguments": block.text,
            "status": status,
        }

    def end(self, finish: Finish, blocks: tuple[Block, ...], counts: Counts) -> Json:
        """Return the response as it stands at its end: complete, or cut by its bound."""
        cut = finish == "length"
        last = len(blocks) - 1
        output = [
            self.item(index, block, "incomplete" if cut and index == last else "completed")
            for index, block in enumerate(blocks)
        ]
        details = {"reason": "max_output_tokens"} if cut else None
        status = "incomplete" if cut else "completed"
        return self.write(status, output, usage=write_usage(counts), incomplete_details=details)


def write_response(frame: Frame, reply: Reply) -> Json:
    """Return an answer whole."""
    return frame.end(reply.finish, reply.blocks, reply.counts)


def _text_part(text: str) -> Json:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


@dataclass(slots=True)
class ResponseEvents:
    """The events of one streamed response, numbered from 0."""

    frame: Frame
    _number: int = 0
    _blocks: list[Block] = field(default_factory=list)

    def begin(self) -> bytes:
        """Return the events before the first item."""
        empty = self.frame.write("in_progress", [])
        return self._event("response.created", response=empty) + self._event(
            "response.in_progress", response=empty
        )

    def piece(self, piece: Piece) -> bytes:
        """Return the events of an increment."""
        if isinstance(piece, TextBegin):
            return self._text_begins(piece)
        if isinstance(piece, ToolBegin):
            item = {**self._item(piece.index, piece.use, "in_progress"), "arguments": ""}
            return self._event("response.output_item.added", item=item, output_index=piece.index)
        if isinstance(piece, BlockEnd):
            return self._block_ends(piece)
        if isinstance(piece, TextDelta):
            return self._text("response.output_text.delta", piece.index, delta=piece.text)
        return self._in_item(
            "response.function_call_arguments.delta", "fc", piece.index, delta=piece.text
        )

    def end(self, finish: Finish, counts: Counts) -> bytes:
        """Return the last event: the response whole."""
        response = self.frame.end(finish, tuple(self._blocks), counts)
        return self._event(f"response.{response['status']}", response=response)

    def failed(self, code: str, message: str) -> bytes:
        """Return the event of a response that failed on the provider's side."""
        error = {"code": code, "message": message}
        return self._event("response.failed", response=self.frame.write("failed", [], error=error))

    def _text_begins(self, piece: TextBegin) -> bytes:
        item = {**self._item(piece.index, Saying(""), "in_progress"), "content": []}
        added = self._event("response.output_item.added", item=item, output_index=piece.index)
        return added + self._part("response.content_part.added", piece.index, "")

    def _block_ends(self, piece: BlockEnd) -> bytes:
        index, block = piece.index, piece.block
        self._blocks.append(block)
        if isinstance(block, Saying):
            done = self._text("response.output_text.done", index, text=block.text)
            done += self._part("response.content_part.done", index, block.text)
        else:
            kind = "response.function_call_arguments.done"
            done = self._in_item(kind, "fc", index, arguments=block.text, name=block.name)
        item = self._item(index, block, "completed")
        return done + self._event("response.output_item.done", item=item, output_index=index)

    def _item(self, index: int, block: Block, status: str) -> Json:
        return self.frame.item(index, block, status)

    def _text(self, kind: str, index: int, **more: object) -> bytes:
        return self._in_item(kind, "msg", index, content_index=0, logprobs=[], **more)

    def _part(self, kind: str, index: int, text: str) -> bytes:
        return self._in_item(kind, "msg", index, content_index=0, part=_text_part(text))

    def _in_item(self, kind: str, prefix: str, index: int, **more: object) -> bytes:
        item = f"{prefix}_{self.frame.id[5:]}_{index}"
        return self._event(kind, item_id=item, output_index=index, **more)

    def _event(self, kind: str, **more: object) -> bytes:
        number = self._number
        self._number += 1
        return named_event({"type": kind, "sequence_number": number, **more})
