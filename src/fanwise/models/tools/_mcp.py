"""`mcp_server`: the tools of an MCP server, as long as a block lasts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, Self, cast

from fanwise.core import _registry, whole

if TYPE_CHECKING:
    from types import TracebackType

    from fanwise.models.tools._tool import Tool


class ToolServer(Protocol):
    """A server of tools: entered it connects, left it disconnects."""

    @property
    def name(self) -> str:
        """Its name, which begins the names of its steps."""

    @property
    def tools(self) -> tuple[Tool, ...]:
        """Its tools, as it named them when it was connected to."""

    async def __aenter__(self) -> Self:
        """Connect, and ask which tools there are."""

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None:
        """Disconnect; a process that was started is ended."""


class _Adapter(Protocol):
    def __call__(self, server: object, name: str, at_once: int, prefix: str) -> ToolServer: ...


def mcp_server(
    server: object, *, name: str = "mcp", at_once: int = 8, prefix: str = ""
) -> ToolServer:
    """Give the tools of an MCP server, for `async with`; then `.tools` has them.

    `server` is an address ("https://..."), a command as a text or a list, or what `mcp.Client`
    takes. At most `at_once` calls are under way at the same time, which is the width of the limit
    "mcp/<name>" where the runtime defines no other. `prefix` begins the names of its tools, where
    two servers use the same. A tool is a "read" where the server says so (`readOnlyHint`), else a
    "write". A cancelled call is cancelled in the server too. A server that dies fails the calls
    under way with `ConnectionError`, and the next call connects to it anew. Needs the extra `mcp`,
    which takes a second to import: make the server before the loop runs, at the top of a module.
    """
    whole("at_once", at_once, 1)
    if not server or isinstance(server, int | float | bytes | dict):
        msg = f"server is an address, a command or an object of the mcp package, got {server!r}"
        raise ValueError(msg)
    try:
        adapter = cast("_Adapter", _registry.load("tools", "mcp"))
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("fanwise"):
            raise
        msg = "MCP servers need: pip install 'fanwise[mcp]'"
        raise ModuleNotFoundError(msg, name="mcp") from error
    return adapter(server, name, at_once, prefix)
