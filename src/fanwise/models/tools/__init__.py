"""Tools that a model asks for: from steps, functions, LangChain and MCP, run at once."""

from fanwise.models.tools._mcp import ToolServer, mcp_server
from fanwise.models.tools._results import ToolResults, Turn
from fanwise.models.tools._run_tools import run_tools
from fanwise.models.tools._tool import Tool, as_tool, by_keyword, tool_specs

__all__ = [
    "Tool", "ToolResults", "ToolServer", "Turn", "as_tool", "by_keyword", "mcp_server", "run_tools",
    "tool_specs",
]  # fmt: skip
