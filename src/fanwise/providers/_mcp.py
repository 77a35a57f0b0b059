"""MCP servers as tools, over the `mcp` package.

A connection of that package must be closed by the task that opened it, so each has a task that
owns it; calls of any task go over it side by side, and a cancelled one tells the server.
"""

from __future__ import annotations

import asyncio
import logging
import shlex
from typing import TYPE_CHECKING, Any, Final, Self

import jsonschema  # noqa: F401 - mcp would import it at its first result, and block the loop
from mcp import Client, MCPError, StdioServerParameters
from mcp.types import CONNECTION_CLOSED, TextContent

from fanwise.core import Limit, NotDone, OwnLimit, Policy, Step
from fanwise.models.tools import Tool, by_keyword

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from mcp.types import CallToolResult
    from mcp.types import Tool as Listed

log: Final = logging.getLogger("fanwise")


class McpToolFailed(Exception):
    """A tool of an MCP server says that it failed; the text is the server's."""


class Link:
    """One connection, and the task that owns it."""

    __slots__ = ("client", "left", "lost", "owner")

    def __init__(self, target: Any, name: str) -> None:  # noqa: ANN401 - whatever the client takes
        """Begin to connect."""
        self.client: asyncio.Future[Client] = asyncio.get_running_loop().create_future()
        self.left = asyncio.Event()
        self.lost = False
        self.owner = asyncio.create_task(self._own(target), name=f"mcp server {name}")

    async def _own(self, target: Any) -> None:  # noqa: ANN401 - as above
        try:
            async with Client(target) as client:
                self.client.set_result(client)
                await self.left.wait()
        except Exception as error:  # noqa: BLE001 - of the transport, the process, the server
            self.lost = True
            if self.client.done():
                log.warning("an MCP connection ended with %r", error)
            else:
                self.client.set_exception(_alone(error))

    def lose(self) -> None:
        """Use it no more."""
        self.lost = True
        self.left.set()

    async def close(self) -> None:
        """Close the connection, and wait for it, however often that is cancelled."""
        self.left.set()
        if not self.client.done():
            self.owner.cancel()
        cancelled = False
        while not self.owner.done():
            try:
                await asyncio.wait([self.owner])
            except asyncio.CancelledError:
                cancelled = True
        if self.client.done() and not self.client.cancelled():
            self.client.exception()  # seen, so that nobody warns
        if cancelled:
            raise asyncio.CancelledError

    def __repr__(self) -> str:
        """Say whether it stands."""
        state = "lost" if self.lost else "open" if self.client.done() else "opening"
        return f"<Link {state}>"


class McpServer:
    """The tools of one MCP server, and the connection that their calls share.

    `fanwise.models.tools.mcp_server` makes it, and says what its arguments mean. Blocks that are
    entered at the same time share one connection, which the last of them closes.
    """

    __slots__ = ("_inside", "_limit", "_links", "_prefix", "_target", "name", "tools")

    def __init__(self, target: Any, name: str, at_once: int, prefix: str) -> None:  # noqa: ANN401 - whatever the client takes
        """Describe it; nothing is connected to before the block."""
        self._target = _target(target)
        self._prefix = prefix
        self._limit = OwnLimit(f"mcp/{name}", Limit(at_once))
        self._links: list[Link] = []  # the last is in use, the others are being closed
        self.name = name
        self.tools: tuple[Tool, ...] = ()
        self._inside = 0  # blocks

    async def __aenter__(self) -> Self:
        """Connect, and ask for the tools; raise what the transport raises."""
        self._inside += 1
        try:
            client = await asyncio.shield(self._link().client)
            self.tools = tuple([self._tool(each) for each in await _listed(client)])
        except BaseException:
            await self._leave()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Disconnect, and wait for the end of the server's process where it is ours."""
        await self._leave()

    async def _leave(self) -> None:
        """Leave one block, the last of them with the connection closed."""
        self._inside -= 1
        if not self._inside:
            links, self._links = self._links, []
            for link in links:
                await link.close()

    def _link(self) -> Link:
        """Give the connection, a new one where there is none or the last was lost."""
        if not self._links or self._links[-1].lost:
            kept = [each for each in self._links if not each.owner.done()]
            self._links = [*kept, Link(self._target, self.name)]
        return self._links[-1]

    async def call(self, tool: str, arguments: dict[str, object]) -> object:
        """Call a tool by the server's own name for it.

        Raises `McpToolFailed` where the server says that it failed, `ConnectionError` where the
        connection ends meanwhile, `NotDone` where there is none to be had.
        """
        link = await self._connected()
        try:
            result = await link.client.result().call_tool(tool, arguments)
        except MCPError as error:
            if error.code != CONNECTION_CLOSED:
                raise McpToolFailed(error.message) from error
            link.lose()
            msg = f"the MCP server {self.name} closed its connection"
            raise ConnectionError(msg) from error
        if result.is_error:
            raise McpToolFailed(_text(result))
        return _value(result)

    async def _connected(self) -> Link:
        """Give the connection, once it stands."""
        if not self._inside:
            msg = f"the tools of {self.name} work inside its block: async with mcp_server(...)"
            raise RuntimeError(msg)
        link = self._link()
        try:
            await asyncio.shield(link.client)
        except Exception as error:
            link.lose()
            msg = f"the MCP server {self.name} cannot be connected to: {error}"
            raise NotDone(msg) from error
        return link

    def _tool(self, listed: Listed) -> Tool:
        hints = listed.annotations
        reads = hints is not None and hints.read_only_hint is True
        name = self._prefix + listed.name

        async def call(**arguments: object) -> object:
            return await self.call(listed.name, arguments)

        policy = Policy(effect="read" if reads else "write", limit=self._limit)
        made: Step[..., object] = Step(call, f"{self.name}/{name}", policy)
        return Tool(name, listed.description or "", listed.input_schema, made, by_keyword)

    def __repr__(self) -> str:
        """Name it, and count its tools."""
        return f"<McpServer {self.name}, {len(self.tools)} tools>"


def adapter(_: str) -> type[McpServer]:
    """Give the class, for the table of adapters."""
    return McpServer


def _alone(error: Exception) -> Exception:
    """Give what really happened, out of the groups of the transport's tasks."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _target(server: Any) -> Any:  # noqa: ANN401 - whatever the client takes
    """Give what `mcp.Client` takes; a command becomes one that is started."""
    if isinstance(server, str):
        if server.startswith(("http://", "https://")):
            return server
        server = shlex.split(server)
    if isinstance(server, list | tuple):
        command, *rest = map(str, server)
        return StdioServerParameters(command=command, args=rest)
    return server


async def _listed(client: Client) -> Sequence[Listed]:
    found: list[Listed] = []
    cursor: str | None = None
    while True:
        page = await client.list_tools(cursor=cursor)
        found += page.tools
        cursor = page.next_cursor
        if cursor is None:
            return found


def _value(result: CallToolResult) -> object:
    if result.structured_content is not None and not result.content:
        value: object = result.structured_content
        return value
    return _text(result)


def _text(result: CallToolResult) -> str:
    """Give the text of a result; what is none is named, for a tool's result is read."""
    parts = [
        each.text if isinstance(each, TextContent) else f"[{each.type}, which is no text]"
        for each in result.content
    ]
    return "\n".join(parts)
