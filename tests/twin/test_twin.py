"""Making a twin: wrong use fails at once, names the argument and says what would be right."""

import subprocess
import sys

import pytest

from fanwise.testing.twin import Fault, Law, Price, Quota, Twin
from tests.cli.terminals import environment


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"models": ["gpt-x"]}, "models="),
        ({"models": {"gpt-x": 0.5}}, "models['gpt-x']=0.5: a Law"),
        ({"quota": {"gpt-x": 60}}, "quota['gpt-x']=60: a Quota"),
        ({"quota": 60}, "quota=60"),
        ({"prices": {"gpt-x": ("1", "2")}}, "a Price is expected"),
        ({"faults": ["reset"]}, "a Fault is expected"),
    ],
)
def test_wrong_tables_are_refused(wrong, told):
    with pytest.raises(TypeError) as refused:
        Twin(**wrong)
    assert told in str(refused.value)


@pytest.mark.parametrize("price", [0.1, "much", "-1", "NaN", 2])
def test_a_price_is_exact_or_refused(price):
    with pytest.raises(ValueError, match="input="):
        Price(price, "1")


def test_everything_can_be_shown():
    twin = Twin({"m": Law()}, quota=Quota(requests_per_minute=1), faults=[Fault("reset")])
    assert repr(twin) == "<Twin m: 0 requests>"
    assert repr(twin.ledger) == "<Ledger 0 requests, 0 dollars>"
    assert "Twin m" in repr(twin.app)
    assert "Twin m" in repr(twin.transport())
    assert repr(twin.cache) == "<PromptCache 0 prefixes>"


async def test_a_twin_without_models_knows_any_and_one_with_models_its_own():
    assert Twin().knows("any")
    assert not Twin({"a": Law()}).knows("b")
    assert Twin({"a": Law(), "*": Law()}).knows("b")


async def test_another_protocol_than_http_is_refused():
    with pytest.raises(RuntimeError, match="websocket"):
        await Twin().app({"type": "websocket"}, None, None)


async def test_it_runs_under_a_server_of_others_too():
    """A server without our extension gets a response that promises more than it sends."""
    received, sent = [{"type": "http.request", "body": b"{}"}, {"type": "http.disconnect"}], []

    async def receive():
        return received.pop(0)

    async def send(message):
        sent.append(message)

    started = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]

    async def events():
        return started.pop(0)

    twin = Twin()
    await twin.app({"type": "lifespan"}, events, send)
    assert [each["type"] for each in sent] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]
    sent.clear()
    scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "headers": []}
    await twin.app(scope, receive, send)
    assert [each["type"] for each in sent] == ["http.response.start", "http.response.body"]
    assert sent[0]["status"] == 400


def test_without_the_extra_the_message_names_it_and_serving_needs_none(monkeypatch):
    monkeypatch.setitem(sys.modules, "httpx2", None)
    monkeypatch.delitem(sys.modules, "fanwise.testing.twin._transport", raising=False)
    for ask in (Twin().client, Twin().transport):
        with pytest.raises(ImportError, match=r"pip install 'fanwise\[twin\]'"):
            ask()
    assert Twin().serve() is not None


def test_nothing_of_others_is_loaded_until_it_is_asked_for():
    code = "import sys, fanwise.testing.twin; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment()
    )
    loaded = set(done.stdout.split())
    assert "fanwise.testing.twin._engine" in loaded
    assert loaded.isdisjoint({"httpx2", "pydantic", "starlette", "uvicorn", "fanwise.models"})
