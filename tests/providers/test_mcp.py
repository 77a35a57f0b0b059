"""MCP servers as tools: a real process over stdio, an HTTP server, and one in memory."""

import asyncio
import builtins
import sys
from pathlib import Path

import pytest

from fanwise import Limit, Retry, Runtime
from fanwise.core import _registry
from fanwise.models.tools import mcp_server, run_tools, tool_specs
from fanwise.testing import no_orphans
from tests.models.tools.scripted import asks, message
from tests.patterns.steps import all_rows
from tests.providers import mcp_shop

pytestmark = pytest.mark.blocking_ok  # the package imports parts of itself when they are used

SHOP = Path(mcp_shop.__file__)


def started(*arguments):
    return mcp_server([sys.executable, SHOP, *arguments], name="shop")


@pytest.fixture
def in_memory():
    mcp_shop.running = mcp_shop.most = 0
    mcp_shop.cancelled.clear()
    return mcp_shop.server


async def until(condition):
    while not condition():
        await asyncio.sleep(0.01)


async def test_tools_of_a_server_in_memory(in_memory):
    async with no_orphans(), mcp_server(in_memory) as shop:
        specs = {spec.name: spec for spec in tool_specs(shop.tools)}
        assert specs["price"].description == "Say what an article costs."
        assert specs["price"].schema["required"] == ["article"]
        assert {tool.name: tool.effect for tool in shop.tools} == {
            "price": "read",
            "wait": "read",
            "order": "write",
            "crash": "write",
        }
        calls = message(
            asks("price", 0, article="tea", amount=2),
            asks("price", 1, article="nothing"),
            asks("price", 2),
            asks("order", 3, article="tea"),
        )
        turn = await run_tools(calls, shop.tools)
        texts = [result.text for result in turn.results]
        assert texts[0] == "2 x tea: 4 dollars"
        assert "there is no nothing" in texts[1]
        assert "article" in texts[2]
        assert texts[3] == "ordered tea"
        assert [result.failed for result in turn.results] == [False, True, True, False]


async def test_blocks_at_the_same_time_share_a_connection_until_the_last_is_left(in_memory):
    shop = mcp_server(in_memory)

    async def lasts(seconds):
        async with shop:
            link = shop._links[-1]
            await asyncio.sleep(seconds)
            turn = await run_tools(message(asks("price", 0, article="tea")), shop.tools)
            return turn.results[0].text, link

    async with no_orphans():
        found = await asyncio.gather(lasts(1.0), lasts(3.0), lasts(2.0))
        assert {text for text, _ in found} == {"1 x tea: 2 dollars"}
        assert len({id(link) for _, link in found}) == 1
        assert found[0][1].owner.done()
        text, link = await lasts(1.0)
        assert (text, link.owner.done()) == ("1 x tea: 2 dollars", True)
        assert link is not found[0][1]


async def test_a_block_that_is_cancelled_while_it_connects_leaves_the_others_alone(in_memory):
    shop = mcp_server(in_memory)

    async def enters():
        async with shop:
            await asyncio.sleep(1.0)
            return len(shop.tools)

    async with no_orphans():
        first = asyncio.create_task(enters())
        other = asyncio.create_task(enters())
        await asyncio.sleep(0)
        first.cancel()
        assert await other == 4
        assert first.cancelled()
        assert shop._links == []


async def test_a_width_for_the_server(in_memory):
    async with mcp_server(in_memory, at_once=2) as shop:
        calls = message(*(asks("wait", n, seconds=1 + n / 100) for n in range(5)))
        await run_tools(calls, shop.tools)
        assert mcp_shop.most == 2


async def test_the_width_is_a_limit_that_a_runtime_may_define(in_memory):
    async with mcp_server(in_memory, name="shop", at_once=2) as shop:
        calls = message(*(asks("wait", n, seconds=1 + n / 100) for n in range(5)))
        async with Runtime(limits={"other": Limit(at_once=1)}) as runtime:
            await run_tools(calls, shop.tools)
            (run,) = runtime.runs
            waited = [row.waits.get("limit", 0) for row in run.record().calls if not row.pattern]
            assert sorted(wait > 0 for wait in waited) == [False, False, True, True, True]
        assert mcp_shop.most == 2
        async with Runtime(limits={"mcp/*": Limit(at_once=4)}):
            tools = [tool.using(timeout=1.5) for tool in shop.tools]  # without the waiting
            turn = await run_tools(calls, tools)
        assert mcp_shop.most == 4
        assert not turn.failed


async def test_a_cancelled_call_is_cancelled_in_the_server(in_memory):
    async with no_orphans(), mcp_server(in_memory) as shop, Runtime() as runtime:
        turn = await run_tools([asks("wait", seconds=60)], shop.tools, within=1.0)
        assert turn.results[0].failed
        await until(lambda: mcp_shop.cancelled == ["begun", "cancelled"])
        assert all_rows(runtime)["mcp/wait"] == ["cancelled"]


async def test_two_servers_with_the_same_tools(in_memory):
    async with mcp_server(in_memory, prefix="a_") as a, mcp_server(in_memory, prefix="b_") as b:
        tools = [*a.tools, *b.tools]
        turn = await run_tools(message(asks("b_price", article="tea")), tools)
        assert turn.results[0].text == "1 x tea: 2 dollars"


async def test_outside_its_block_a_tool_says_so(in_memory):
    shop = mcp_server(in_memory)
    async with shop:
        pass
    turn = await run_tools([asks("price", article="tea")], shop.tools)
    assert "work inside its block" in turn.results[0].text


@pytest.mark.real_clock
async def test_a_process_over_stdio(tmp_path):
    log = tmp_path / "log"
    async with no_orphans(), started(log) as shop:
        calls = message(*(asks("wait", n, seconds=0.2 + n / 1000) for n in range(5)))
        turn = await run_tools(calls, shop.tools)
        assert "waited, at most 5 at once" in {result.text for result in turn.results}
        log.write_text("")
        waiting = asyncio.create_task(turn_of(shop, asks("wait", seconds=60)))
        await until(lambda: log.read_text() == "begun\n")
        waiting.cancel()
        await asyncio.wait([waiting])
        await until(lambda: log.read_text() == "begun\ncancelled\n")


async def turn_of(shop, *calls, tools=None):
    turn = await run_tools(message(*calls), tools or shop.tools)
    return [result.text for result in turn.results]


@pytest.mark.real_clock
async def test_a_server_that_dies_fails_its_calls_and_is_started_again(tmp_path):
    async with no_orphans(), started(tmp_path / "log") as shop:
        texts = await turn_of(shop, asks("crash", 0), asks("wait", 1, seconds=60))
        assert all("the MCP server shop closed its connection" in text for text in texts)
        assert "may or may not have happened" in texts[0]
        assert await turn_of(shop, asks("price", article="tea")) == ["1 x tea: 2 dollars"]


@pytest.mark.real_clock
async def test_under_a_retry_a_dead_server_is_not_even_noticed(tmp_path):
    async with no_orphans(), started(tmp_path / "log") as shop:
        await turn_of(shop, asks("crash"))
        tools = [tool.using(retry=Retry(attempts=2, shortest=0.01)) for tool in shop.tools]
        texts = await turn_of(shop, asks("price", article="tea"), tools=tools)
        assert texts == ["1 x tea: 2 dollars"]


@pytest.mark.real_clock
async def test_what_cannot_be_started_is_raised_at_the_block():
    with pytest.raises(OSError, match="nowhere"):
        async with mcp_server(["/nowhere/at/all"]):
            pass


@pytest.mark.real_clock
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_over_http(in_memory):
    import uvicorn

    app = in_memory.streamable_http_app()
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", lifespan="on"))
    serving = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        async with mcp_server(f"http://127.0.0.1:{port}/mcp") as shop:
            assert await turn_of(shop, asks("price", article="tea")) == ["1 x tea: 2 dollars"]
            turn = await run_tools([asks("wait", seconds=60)], shop.tools, within=0.3)
            assert turn.results[0].failed
            await until(lambda: mcp_shop.cancelled == ["begun", "cancelled"])
            server.should_exit = True
            await serving
            (lost,) = await turn_of(shop, asks("price", article="tea"))
            (gone,) = await turn_of(shop, asks("order", article="tea"))
            assert "the MCP server mcp closed its connection" in lost
            assert "NotDone: the MCP server mcp cannot be connected to: All connection" in gone
            assert "may or may not have happened" not in gone
    finally:
        server.should_exit = True
        await serving


@pytest.mark.real_clock
async def test_an_address_where_nobody_listens_is_refused_at_the_block():
    with pytest.raises(Exception, match="All connection attempts failed"):
        async with mcp_server("http://127.0.0.1:9/mcp"):
            pass


@pytest.mark.parametrize("server", ["", [], None, 3])
def test_wrong_use_is_told(server):
    with pytest.raises(ValueError, match="server is an address, a command or an object"):
        mcp_server(server)


@pytest.mark.parametrize("package", ["mcp", "jsonschema"])  # which comes with the other
def test_without_the_extra_it_is_named(package, monkeypatch):
    real = builtins.__import__

    def lacking(name, *rest):
        if name == package or name.startswith(f"{package}."):
            raise ModuleNotFoundError(f"No module named {package!r}", name=package)
        return real(name, *rest)

    monkeypatch.delitem(sys.modules, "fanwise.providers._mcp", raising=False)
    monkeypatch.setattr(builtins, "__import__", lacking)
    assert "mcp" in _registry.TABLE["tools"]
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'fanwise\[mcp\]'"):
        mcp_server("python server.py")
