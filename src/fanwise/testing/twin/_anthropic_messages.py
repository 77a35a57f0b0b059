"""Anthropic's messages: what a request says, and how an answer is written, whole or streamed.

The prompt is cached in the order of the documentation: tools, then system, then messages; an
input token is counted once, as read, as written or as neither, so `input_tokens` leaves the
first two out.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from fanwise.testing.twin._reading import has, inner, malformed, objects, one_of, read_json
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
    compact,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fanwise.testing.twin._fields import Fields
    from fanwise.testing.twin._values import Block, Finish, Json, Piece, Reply, Role

_FINISH = {"stop": "end_turn", "length": "max_tokens", "tool_use": "tool_use"}
_CHOICES = {"auto": "auto", "any": "required", "none": "none"}
_PASSED_OVER = {"thinking", "redacted_thinking", "server_tool_use"}


def read_message(body: Fields, *, endpoint: str = "messages") -> Ask:
    """Return what a request asks; raises Refused (400), which names the field that is wrong.

    `thinking`, `metadata`, sampling and service tier are accepted and change nothing.
    """
    max_tokens = body.count("max_tokens")
    if max_tokens is None and endpoint != "count_tokens":
        raise body.wrong("max_tokens", "an integer")
    tools = tuple(_tool(tool) for tool in objects(body, "tools"))
    return Ask(
        protocol="anthropic",
        endpoint=endpoint,
        model=body.text("model"),
        parts=_marked_whole(body, (*_system(body), *_messages(body))),
        tools=tools,
        tool_choice=_choice(body, tools),
        max_tokens=max_tokens,
        stream=body.flag("stream"),
        schema=_schema(body),
    )


def _marked_whole(body: Fields, parts: tuple[Part, ...]) -> tuple[Part, ...]:
    """Mark the last part where the request itself carries `cache_control`."""
    mark = _mark(body)
    return parts if mark is None else (*parts[:-1], replace(parts[-1], mark=mark))


def _system(body: Fields) -> Iterator[Part]:
    if has(body, "system"):
        yield from _content(body, "system", "system")


def _messages(body: Fields) -> Iterator[Part]:
    called: dict[str, str] = {}
    for message in objects(body, "messages", needed=True):
        role = one_of(message, "role", ("user", "assistant", "system"))
        for part in _content(message, "content", _role(role)):
            if part.role == "tool" and part.call not in called:
                raise malformed(
                    f"unexpected `tool_use_id` found in `tool_result` blocks: {part.call}. Each "
                    "`tool_result` block must have a corresponding `tool_use` block before it.",
                    message.at("content"),
                )
            if part.tool is not None:
                called[part.call or ""] = part.tool
            yield part


def _role(name: str) -> Role:
    return "assistant" if name == "assistant" else "system" if name == "system" else "user"


def _content(holder: Fields, name: str, role: Role) -> Iterator[Part]:
    if not has(holder, name):
        raise holder.wrong(name, "a string or an array")
    text = holder.get(name)
    if isinstance(text, str):
        yield Part(role, text)
        return
    for block in objects(holder, name):
        yield _block(block, role)


def _block(block: Fields, role: Role) -> Part:
    kind, mark = block.text("type"), _mark(block)
    if kind == "tool_result":
        return Part("tool", _plain(block, "content"), mark, call=block.text("tool_use_id"))
    if kind == "tool_use":
        arguments = compact(block.get("input") or {})
        return Part(role, arguments, mark, call=block.text("id"), tool=block.text("name"))
    return Part(role, _words(block, kind), mark)


def _words(block: Fields, kind: str) -> str:
    """Return what the twin reads of a block: pictures and scans are not looked at."""
    if kind == "text":
        return block.text("text")
    if kind in _PASSED_OVER:
        return ""
    if kind == "image":
        return "[image]"
    if kind == "search_result":
        return _plain(block, "content")
    if kind == "document":
        source = block.fields("source")
        plain = source.text("type") == "text"
        return source.text("data") if plain else _plain(source, "content") or "[document]"
    raise malformed(f"Input tag {kind!r} is not among the tags that the twin knows", block.path)


def _plain(holder: Fields, name: str) -> str:
    text = holder.get(name) or ""
    if isinstance(text, str):
        return text
    return "\n".join(_words(block, block.text("type")) for block in objects(holder, name))


def _mark(holder: Fields) -> Literal["5m", "1h"] | None:
    cache = inner(holder, "cache_control")
    if cache is None:
        return None
    one_of(cache, "type", ("ephemeral",))
    return "1h" if one_of(cache, "ttl", ("5m", "1h"), "5m") == "1h" else "5m"


def _tool(tool: Fields) -> Tool:
    kind = tool.text("type", "custom")
    if kind != "custom":
        raise malformed(f"the twin runs no server tools, such as {kind!r}", tool.at("type"))
    schema = read_json(tool, "input_schema")
    return Tool(tool.text("name"), tool.text("description", ""), schema, _mark(tool))


def _choice(body: Fields, tools: tuple[Tool, ...]) -> str:
    choice = inner(body, "tool_choice")
    if choice is None:
        return "auto"
    kind = one_of(choice, "type", ("auto", "any", "tool", "none"))
    if kind != "none" and not tools:
        raise malformed("may only be specified while providing tools", "tool_choice")
    if kind != "tool":
        return _CHOICES[kind]
    name = choice.text("name")
    if name not in {tool.name for tool in tools}:
        raise malformed(f"Tool {name!r} not found in provided tools", "tool_choice")
    return name


def _schema(body: Fields) -> Json | None:
    config = inner(body, "output_config")
    wanted = inner(body, "output_format") or (inner(config, "format") if config else None)
    if wanted is None:
        return None
    one_of(wanted, "type", ("json_schema",))
    return read_json(wanted, "schema")


# ------------------------------------------------------------------------------------- answers


def write_usage(counts: Counts, *, batch: bool = False) -> Json:
    """Return `usage`; all of the input is `input_tokens` plus what was read and written."""
    return {
        "input_tokens": counts.tokens_in - counts.cached - counts.written,
        "cache_creation_input_tokens": counts.written,
        "cache_read_input_tokens": counts.cached,
        "cache_creation": {
            "ephemeral_5m_input_tokens": counts.written - counts.written_long,
            "ephemeral_1h_input_tokens": counts.written_long,
        },
        "output_tokens": counts.tokens_out,
        "service_tier": "batch" if batch else "standard",
    }


def write_block(block: Block) -> Json:
    """Return a block of an answer."""
    if isinstance(block, Saying):
        return {"type": "text", "text": block.text, "citations": None}
    return {"type": "tool_use", "id": block.id, "name": block.name, "input": block.arguments}


def write_message(reply: Reply, *, id: str, model: str, batch: bool = False) -> Json:  # noqa: A002 - as the field is called
    """Return an answer whole."""
    return {
        "id": id,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [write_block(block) for block in reply.blocks],
        "stop_reason": _FINISH[reply.finish],
        "stop_sequence": None,
        "usage": write_usage(reply.counts, batch=batch),
    }


def begin_stream(counts: Counts, *, id: str, model: str) -> bytes:  # noqa: A002 - as the field is called
    """Return the events before the first block; the input is counted here, the output later."""
    message: Json = {
        "id": id,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": write_usage(replace(counts, tokens_out=1)),
    }
    return named_event({"type": "message_start", "message": message}) + named_event(
        {"type": "ping"}
    )


def write_piece(piece: Piece) -> bytes:
    """Return the event of an increment."""
    if isinstance(piece, TextBegin):
        return _start(piece.index, {"type": "text", "text": ""})
    if isinstance(piece, ToolBegin):
        use = {"type": "tool_use", "id": piece.use.id, "name": piece.use.name, "input": {}}
        return _start(piece.index, use)
    if isinstance(piece, BlockEnd):
        return named_event({"type": "content_block_stop", "index": piece.index})
    if isinstance(piece, TextDelta):
        return _delta(piece.index, {"type": "text_delta", "text": piece.text})
    return _delta(piece.index, {"type": "input_json_delta", "partial_json": piece.text})


def _start(index: int, block: Json) -> bytes:
    return named_event({"type": "content_block_start", "index": index, "content_block": block})


def _delta(index: int, delta: Json) -> bytes:
    return named_event({"type": "content_block_delta", "index": index, "delta": delta})


def end_stream(finish: Finish, counts: Counts) -> bytes:
    """Return the last events: why it ended, and the counts, which are totals."""
    usage = write_usage(counts)
    del usage["cache_creation"], usage["service_tier"]
    delta = {"stop_reason": _FINISH[finish], "stop_sequence": None}
    return named_event({"type": "message_delta", "delta": delta, "usage": usage}) + named_event(
        {"type": "message_stop"}
    )
