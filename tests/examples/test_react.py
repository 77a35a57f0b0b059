"""The ReAct loop of the examples: on both wires, with a real MCP server, and as a command."""

import ast
import asyncio
import inspect
import os
import subprocess
import sys

import pytest

from examples import react
from fanwise import Runtime
from fanwise.testing.twin import Law, ToolUse, Twin
from tests.models.tools.wires import WIRES, model_on
from tests.patterns.steps import all_rows, now
from tests.repository.sources import ROOT

pytestmark = pytest.mark.blocking_ok  # the official clients import parts of themselves late
READS = [
    ToolUse("search", {"query": "a cold day"}),
    ToolUse("reviews", {"article": "tea"}),
    ToolUse("price", {"article": "tea"}),
    ToolUse("price", {"article": "cocoa"}),
]
ORDERS = [
    ToolUse("total", {"prices": [4.5], "boxes": 2}),
    ToolUse("reviews", {"article": "tea, again"}),
    ToolUse("order", {"article": "tea", "boxes": 2}),
]


def shopper(ask):
    """Look around, then order, then tell."""
    results = [part.text for part in ask.results]
    if not results:
        return READS
    if len(results) < len(READS) + len(ORDERS):
        return ORDERS
    return "Done: " + " | ".join(results)


def told(answer):
    assert answer.startswith("Done: for 'a cold day' we have tea and cocoa | ")
    assert "no connection to the reviews of tea" in answer
    assert " | 4.50 | 6.00 | 9.0 | " in answer
    assert answer.endswith(" | ordered 2 boxes of tea")


@pytest.mark.timeout(90)  # it starts a process
@pytest.mark.real_clock
@pytest.mark.parametrize("wire", WIRES)
async def test_the_loop_with_five_tools(wire):
    twin = Twin({"*": Law(first=0.01, per_second=200)}, answers=shopper)
    async with Runtime() as runtime, model_on(twin, wire) as asked:
        told(await react.shopping(asked, "Order the cheapest thing for a cold day."))
        rows = all_rows(runtime)
        assert rows["search"] == rows["order"] == ["ok"]
        assert rows["reviews"] == ["failed", "failed"]
        assert rows["shop/price"] == ["ok", "ok"]
        assert rows[f"{wire}:m"] == ["ok"] * 3


async def test_it_stops_after_its_turns():
    async with model_on(Twin(answers=lambda ask: READS[:1]), "openai") as asked:
        answer = await react.react(asked, "?", [react.search], 3)
    assert answer == "There is no answer after 3 turns."
    assert now() == pytest.approx(4.5)


def test_the_loop_has_at_most_30_lines():
    lines = inspect.getsource(react.react.function).splitlines()
    assert isinstance(ast.parse("\n".join(lines)).body[0], ast.AsyncFunctionDef)
    assert len(lines) <= 30


@pytest.mark.timeout(90)  # it starts two processes
@pytest.mark.real_clock
async def test_as_a_command():
    async with Twin(answers=shopper).serve() as address:
        env = os.environ | {"OPENAI_BASE_URL": f"{address}/v1", "OPENAI_API_KEY": "k"}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            ROOT / "examples" / "react.py",
            "openai:m",
            "Order.",
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        printed, complaints = await process.communicate()
    assert process.returncode == 0
    assert "mcp" not in complaints.decode()  # such as that its import blocks the loop
    told(printed.decode().strip())


@pytest.mark.real_clock
def test_without_arguments_it_says_what_it_takes():
    script = ROOT / "examples" / "react.py"
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("usage: python examples/react.py MODEL QUESTION")
