"""Tools that start while the model still speaks, against the twin over a socket.

A message takes 2 s; its first tool call is complete after 0.5 s, and that tool takes 1.5 s. Read to
its end first, and the tools run then, a turn takes 3.5 s; started as soon as it is complete, 2 s.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from benchmarks._figure import Figure
from benchmarks._measure import Rounds, Scale, Span, alternate
from benchmarks._programs import in_one_run
from fanwise import step
from fanwise.models import Answer, Model
from fanwise.models.tools import run_tools, tool_specs
from fanwise.providers import anthropic, openai
from fanwise.testing.twin import Law, Script, ToolUse, Twin

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

MESSAGE, TOOL = 2.0, 1.5  # seconds
TOKENS = 40  # of the message: ten of the first call
SAID = [ToolUse("search", {"query": "x" * 27}), ToolUse("note", {"text": "word " * 21 + "end"})]
BAR = 1.05


def streamed(scale: Scale) -> Iterator[Figure]:
    """Measure a turn over the time of its message alone, on both wires."""
    for wire in ("openai", "anthropic"):
        rounds, in_a_row = asyncio.run(_rounds(scale, wire))
        yardstick, ours = (each / 1e6 for each in rounds.each(1, "wall"))
        note = f"{ours:.3f} s, message alone {yardstick:.3f} s, tools after it {in_a_row:.3f} s"
        what = f"turn with tools in mid-stream, {wire}"
        yield Figure(
            what, rounds.ratio("wall"), BAR, "the message of 2 s read to its end", note=note
        )


async def _rounds(scale: Scale, wire: str) -> tuple[Rounds, float]:
    @step
    async def search(query: str) -> str:
        await asyncio.sleep(TOOL * scale.share)
        return query

    @step
    async def note(text: str) -> int:
        return len(text)

    tools = [search, note]

    async with _model(scale, wire) as model:

        def asked():
            return model.stream("Look it up.", tools=tool_specs(tools))

        async def alone() -> Span:
            with Span() as span:
                *_, answer = await asked()
                _check(answer)
            return span

        async def turn() -> None:
            found = await run_tools(asked(), tools)
            _check(found.answer)
            if found.failed or len(found.results) != len(SAID):
                raise AssertionError(found)

        async def after() -> None:
            *_, answer = await asked()
            await run_tools(answer, tools)

        counted = {"search": 1, "note": 1}
        rounds = await alternate(scale, alone, lambda: in_one_run(turn, counted))
        in_a_row = await in_one_run(after, counted)
    return rounds, in_a_row.wall


def _check(answer: object) -> None:
    if not isinstance(answer, Answer) or answer.usage.tokens_out != TOKENS:
        raise AssertionError(answer)


@asynccontextmanager
async def _model(scale: Scale, wire: str) -> AsyncIterator[Model]:
    pace = TOKENS / MESSAGE / scale.share
    twin = Twin({"*": Law(first=1 / pace, per_second=pace)}, answers=Script([SAID], repeat=True))
    async with twin.serve() as address:
        if wire == "openai":
            yield Model(openai("m", key="k", base_url=f"{address}/v1"))
        else:
            yield Model(anthropic("m", key="k", base_url=address))
