"""Tools that a model asks for: from steps, functions, LangChain and MCP, run at once."""

from fanwise.models.tools._results import ToolResults, Turn
from fanwise.models.tools._run_tools import run_tools
from fanwise.models.tools._tool import Tool, as_tool, tool_specs

__all__ = ["Tool", "ToolResults", "Turn", "as_tool", "run_tools", "tool_specs"]
