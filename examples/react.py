"""A ReAct loop: a model, five tools, and nothing between them.

    python examples/react.py anthropic:claude-haiku-4-5 "Order the cheapest thing for a cold day."

One tool is slow, one fails, one stands on an MCP server, one writes. Tools that read start while
the model still speaks; the one that writes waits until it has finished its message.
"""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from fanwise import Breaker, run, step
from fanwise.models import Chat, Message, Model, model
from fanwise.models.tools import mcp_server, run_tools, tool_specs

SHOP = mcp_server([sys.executable, Path(__file__).with_name("shop.py")], name="shop")


@step(timeout=10.0)
async def search(query: str) -> str:
    """Search the catalogue. Slow."""
    await asyncio.sleep(1.5)
    return f"for {query!r} we have tea and cocoa"


@step(breaker=Breaker(minimum=2))
async def reviews(article: str) -> str:
    """Read what others say about an article."""
    raise ConnectionError(f"no connection to the reviews of {article}")


def total(prices: list[float], boxes: int = 1) -> float:
    """Add prices up, for so many boxes of each."""
    return sum(prices) * boxes


@step(effect="write")
async def order(article: str, boxes: int) -> str:
    """Order an article. This costs money."""
    return f"ordered {boxes} boxes of {article}"


@step
async def react(asked: Model, question: str, tools: Sequence[object], turns: int = 8) -> str:
    """Ask, run the tools that the model asks for, and go on until it answers in words."""
    chat = Chat((Message("user", question),), system="Use the tools. Answer in a sentence.")
    specs = tool_specs(tools)
    for _ in range(turns):
        turn = await run_tools(asked.stream(chat, tools=specs), tools, within=30.0)
        if not turn.results:
            return turn.answer.text
        chat = chat.then(*turn.messages)
    return f"There is no answer after {turns} turns."


@step
async def shopping(asked: Model, question: str) -> str:
    """Answer a question with all five tools."""
    async with SHOP as shop:
        return await react(asked, question, [search, reviews, total, order, *shop.tools])


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit('usage: python examples/react.py MODEL QUESTION, such as "openai:gpt-5" "..."')
    print(run(shopping(model(sys.argv[1]), sys.argv[2])))
