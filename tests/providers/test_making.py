"""Models are made of an address, or of what the user brings; wrong use is refused at once."""

import asyncio
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import httpx2
import openai
import pytest

from fanwise import providers, run
from fanwise.core import _registry
from fanwise.models import Embedder, Model, Request, embedder, model
from fanwise.providers._ai import _http
from fanwise.providers._ai._pools import CONNECTIONS, IN_A_POOL, Pools
from fanwise.testing.twin import Law, Twin
from tests.providers.on_twin import IMPORTED

VARIABLES = (
    "OPENAI_API_KEY", "OPENAI_BASE_URL", "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN",
    "ANTHROPIC_BASE_URL", "GOOGLE_API_KEY", "GEMINI_API_KEY",
)  # fmt: skip


@pytest.fixture(autouse=True)
def without_keys(monkeypatch, tmp_path):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))  # profiles of Anthropic's client


@pytest.mark.parametrize(
    ("address", "variable"),
    [
        ("openai:gpt-5-mini", "OPENAI_API_KEY"),
        ("openai-responses:gpt-5-mini", "OPENAI_API_KEY"),
        ("anthropic:claude-haiku-4-5", "ANTHROPIC_API_KEY"),
        ("google:gemini-2.5-flash", "GOOGLE_API_KEY"),
    ],
)
def test_without_a_key_the_model_is_not_made(address, variable, monkeypatch):
    with pytest.raises(ValueError, match=f"needs a key: set {variable}") as raised:
        model(address)
    assert "fanwise.providers." in str(raised.value)
    monkeypatch.setenv(variable, "k")
    made = model(address)
    assert made.name == address.replace("-responses", "")


def test_an_address_of_ones_own_needs_no_key_and_a_base_url(monkeypatch):
    with pytest.raises(ValueError, match="set OPENAI_BASE_URL"):
        model("openai-compatible:qwen3")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:1/v1")
    assert model("openai-compatible:qwen3").name == "openai-compatible:qwen3"
    assert model("openai:gpt-5-mini").name == "openai:gpt-5-mini"
    assert isinstance(embedder("openai-compatible:bge"), Embedder)


@pytest.mark.parametrize("provider", ["openai", "anthropic", "google", "openai-compatible"])
def test_an_address_without_a_name_is_refused(provider, monkeypatch):
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "ANTHROPIC_API_KEY", "GOOGLE_API_KEY"):
        monkeypatch.setenv(name, "http://k")
    with pytest.raises(ValueError, match="names no model after the colon"):
        model(f"{provider}:")


def test_a_client_beside_what_it_holds_is_refused():
    client = openai.AsyncOpenAI(api_key="k")
    with pytest.raises(ValueError, match="client= has its own key"):
        providers.openai("m", client=client, key="k")


async def test_the_users_client_is_used_without_its_retries_and_heard():
    assert IMPORTED
    twin = Twin()
    async with twin.client() as http:
        client = openai.AsyncOpenAI(api_key="k", base_url="http://twin/v1", http_client=http)
        made = providers.openai("m", client=client)
        again = providers.openai("m", client=client)
        assert (await made.answer(Request("hi"))).text == "hi"
        assert (await again.answer(Request("hi"))).text == "hi"
        assert client.max_retries > 0
        assert http.event_hooks["response"] == [_http.hear_rates]


def test_without_the_extra_the_error_names_it(monkeypatch):
    def missing(kind, address):
        raise ModuleNotFoundError("No module named 'pydantic_ai'", name="pydantic_ai")

    monkeypatch.setattr(_registry, "load", missing)
    with pytest.raises(ImportError) as raised:
        providers.openai("gpt-5-mini", key="k")
    assert str(raised.value) == "model='openai:gpt-5-mini' needs: pip install 'fanwise[llm]'"


def test_a_fault_of_our_own_is_no_missing_extra(monkeypatch):
    def broken(kind, address):
        raise ImportError("cannot import name 'x'", name="fanwise.models")

    monkeypatch.setattr(_registry, "load", broken)
    with pytest.raises(ImportError, match="cannot import name"):
        providers.anthropic("m", key="k")


def test_a_command_without_the_extra_ends_with_two_and_a_line(tmp_path):
    (tmp_path / "note.txt").write_text("One sentence.")
    program = (
        "import sys; sys.modules['pydantic_ai'] = sys.modules['httpx2'] = None;"
        "from fanwise.cli import main; main()"
    )
    command = [sys.executable, "-c", program, "digest", str(tmp_path / "note.txt")]
    done = subprocess.run(
        [*command, "--task", "t", "--model", "openai:gpt-5-mini"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "fanwise: --model 'openai:gpt-5-mini' needs: pip install 'fanwise[llm]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_nothing_is_imported_before_a_model_is_made():
    program = (
        "import sys, fanwise, fanwise.models, fanwise.providers;"
        "print([name for name in ('pydantic_ai', 'openai', 'anthropic', 'httpx2', 'google.genai')"
        " if name in sys.modules])"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_one_model_serves_one_run_after_the_other():
    made = providers.openai("m", key="k", base_url="http://127.0.0.1:9/v1")
    for _ in range(2):
        with pytest.raises(Exception, match="Connection error"):
            run(Model(made).ask("hi"))
        assert not [loop for loop in _http._KEPT if not loop.is_closed()]


NO_ADDRESS = "='localhost:8030/v1' is no address: it begins with http:// or https://"


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"name": " m"}, ValueError, "model='openai: m' has spaces around the model's name"),
        ({"name": None}, TypeError, "name is that of a model, such as 'gpt-5-mini', got None"),
        ({"name": " "}, ValueError, "model='openai: ' names no model"),
        ({"key": 5}, TypeError, "key is a text, got 5"),
        ({"key": ""}, TypeError, "key is a text, got ''"),
        ({"base_url": "localhost:8030/v1"}, ValueError, "base_url" + NO_ADDRESS),
        ({"base_url": 5}, TypeError, "base_url is a text, such as 'http://127.0.0.1:8030/v1'"),
        ({"http": httpx2.Client()}, TypeError, "http is an httpx2.AsyncClient, got <httpx2"),
        ({"api": "chats"}, ValueError, 'api is "chat" or "responses", got \'chats\''),
        ({"client": 5}, TypeError, "client is an openai.AsyncOpenAI, got 5"),
        (
            {"client": openai.OpenAI(api_key="k")},
            TypeError,
            "client is an openai.AsyncOpenAI, got <openai.OpenAI",
        ),
    ],
)
def test_what_is_brought_is_looked_at_at_once(given, error, said, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    with pytest.raises(error) as raised:
        providers.openai(**{"name": "m"} | given)
    assert str(raised.value).startswith(said)


def test_a_client_of_another_provider_is_refused():
    with pytest.raises(TypeError, match=r"client is an anthropic.AsyncAnthropic, got <openai"):
        providers.anthropic("m", client=openai.AsyncOpenAI(api_key="k"))
    with pytest.raises(TypeError, match=r"client is a google.genai.Client, got <openai"):
        providers.google("m", client=openai.AsyncOpenAI(api_key="k"))


@pytest.mark.parametrize(
    ("variable", "address"),
    [
        ("OPENAI_BASE_URL", "openai:m"),
        ("OPENAI_BASE_URL", "openai-responses:m"),
        ("OPENAI_BASE_URL", "openai-compatible:m"),
        ("ANTHROPIC_BASE_URL", "anthropic:m"),
    ],
)
@pytest.mark.parametrize("value", ["", "localhost:8030/v1"])
def test_an_address_in_the_environment_that_is_none_is_refused(
    value, variable, address, monkeypatch
):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "k")
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    monkeypatch.setenv(variable, value)
    with pytest.raises(ValueError, match=f"{variable}='{value}' is no address"):
        model(address)


def test_a_client_of_ones_own_goes_before_the_environment(monkeypatch):
    client = openai.AsyncOpenAI(api_key="k", base_url="http://127.0.0.1:9/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    assert providers.openai("m", client=client).name == "openai:m"
    assert providers.openai_compatible("m", client=client).name == "openai-compatible:m"


def test_the_way_to_bring_a_key_keeps_the_interface():
    with pytest.raises(ValueError, match=r"providers\.openai\('m', key=\.\.\., api='responses'\)"):
        model("openai-responses:m")


def test_the_types_of_responses_are_built_before_the_loop_runs():
    program = (
        "from fanwise import providers;"
        "chat = providers.openai('m', key='k');"
        "from openai.types.responses import Response;"
        "before = Response.__pydantic_complete__;"
        "providers.openai('m', key='k', api='responses');"
        "print(before, Response.__pydantic_complete__)"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("False True", "")


def test_models_of_one_adapter_are_asked_in_many_threads():
    made = Model(providers.openai("m", key="k", base_url="http://127.0.0.1:9/v1"))

    def ask(_: int) -> str:
        with pytest.raises(Exception, match="Connection error") as raised:
            run(made.ask("hi"))
        return type(raised.value).__name__

    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(ask, range(40))) == {"ModelConnectionError"}


@pytest.mark.real_clock
async def test_connections_are_kept_closed_by_the_caller_and_opened_anew():
    twin = Twin()
    async with twin.serve() as address:
        made = providers.openai("m", key="k", base_url=f"{address}/v1")
        other = providers.anthropic("m", key="k", base_url=address)
        first = await _http.open_client()
        await made.answer(Request("hi"))
        await other.answer(Request("hi"))
        assert await _http.open_client() is first
        await providers.close_connections()
        assert first.is_closed
        assert (await made.answer(Request("again"))).text == "again"
        await providers.close_connections()
        await providers.close_connections()


@pytest.mark.real_clock
async def test_a_wide_fan_out_has_its_connections_and_a_narrow_one_reuses_them():
    async with Twin({"*": Law(first=0.2)}).serve() as address:
        made = providers.openai("m", key="k", base_url=f"{address}/v1")
        pools = (await _http.open_client())._transport
        await made.answer(Request("hi"))
        await made.answer(Request("hi"))
        assert [len(pool.transport._pool.connections) for pool in pools.pools] == [1]
        await asyncio.gather(*(made.answer(Request("hi")) for _ in range(60)))
        assert [len(pool.transport._pool.connections) for pool in pools.pools] == [25, 25, 10]
        assert [pool.running for pool in pools.pools] == [0, 0, 0]
        await providers.close_connections()
        await asyncio.sleep(0)


async def test_all_pools_together_hold_no_more_than_they_say():
    pools = Pools()
    for _ in range(CONNECTIONS + 50):
        pools._with_room().running += 1
    assert len(pools.pools) == CONNECTIONS / IN_A_POOL
    assert {pool.running for pool in pools.pools} <= {IN_A_POOL + 1, IN_A_POOL + 2}
    assert sum(pool.running for pool in pools.pools) == CONNECTIONS + 50


async def test_where_there_are_proxies_the_client_makes_its_own_way(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    client = await _http.open_client()
    assert not isinstance(client._transport, Pools)
    assert client._transport._pool._max_connections == CONNECTIONS
    assert len(client._mounts) == 1
    await providers.close_connections()
