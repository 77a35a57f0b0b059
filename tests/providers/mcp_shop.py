"""An MCP server for the tests: started over stdio, or used in memory.

It tells of cancelled calls in a file, whose name is its first argument.
"""

import os
import sys
from pathlib import Path

import anyio
from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations

server = MCPServer("shop")
LOG = Path(sys.argv[1]) if __name__ == "__main__" and len(sys.argv) > 1 else None
running = 0
most = 0
cancelled = []


def said(line):
    cancelled.append(line)
    if LOG is not None:
        with LOG.open("a") as file:
            file.write(line + "\n")


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
async def price(article: str, amount: int = 1) -> str:
    """Say what an article costs."""
    if article == "nothing":
        raise ToolError("there is no nothing")
    return f"{amount} x {article}: {amount * 2} dollars"


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
async def wait(seconds: float) -> str:
    """Wait."""
    global running, most
    running += 1
    most = max(most, running)
    said("begun")
    try:
        await anyio.sleep(seconds)
    except anyio.get_cancelled_exc_class():
        said("cancelled")
        raise
    finally:
        running -= 1
    return f"waited, at most {most} at once"


@server.tool()
async def order(article: str) -> str:
    """Order an article."""
    return f"ordered {article}"


@server.tool()
async def crash() -> str:
    """End the server's process."""
    os._exit(3)


if __name__ == "__main__":
    server.run("stdio")
