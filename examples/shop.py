"""A small MCP server, for react.py: `python examples/shop.py` speaks over standard input."""

from mcp.server import MCPServer
from mcp.types import ToolAnnotations

server = MCPServer("shop")
PRICES = {"tea": 4.5, "cocoa": 6.0}  # dollars a box


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
async def price(article: str) -> str:
    """Say what a box of an article costs, in dollars."""
    return f"{PRICES[article]:.2f}" if article in PRICES else f"there is no {article} here"


if __name__ == "__main__":
    server.run("stdio")
