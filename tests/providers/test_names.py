"""The provider's own name of what answered: asked by an alias, a dated model answers."""

import httpx2
import pytest

from fanwise import Runtime
from fanwise.models import Answer, Model, Price
from fanwise.testing.twin import Twin
from tests.providers.on_twin import SPOKEN, adapter

SERVED = {"m": "d", "claude-haiku-4-5": "claude-haiku-012"}  # of the same length


class Dated(httpx2.AsyncBaseTransport):
    """Connections to a twin that tells another name of the model than was asked for."""

    def __init__(self, twin):
        self.inner = twin.transport()

    async def handle_async_request(self, request):
        response = await self.inner.handle_async_request(request)
        response.stream = Renamed(response.stream)
        return response


class Renamed(httpx2.AsyncByteStream):
    """A body with other names in it."""

    def __init__(self, inner):
        self.inner = inner

    async def __aiter__(self):
        async for chunk in self.inner:
            given = chunk
            for asked, served in SERVED.items():
                given = given.replace(f'"model":"{asked}"'.encode(), f'"model":"{served}"'.encode())
            yield given

    async def aclose(self):
        await self.inner.aclose()


async def asked_of(name, *, stream):
    """Give the model asked, its answer, and the row of its call."""
    async with httpx2.AsyncClient(transport=Dated(Twin())) as http:
        model = Model(adapter(name, http))
        own = {model.name: Price(input=1, output=1)}
        async with Runtime(prices=own) as runtime:
            asked = model.stream("hi") if stream else model.ask("hi")
            answer = await runtime.run(asked)
            (row,) = runtime.runs[-1].record().calls
    return model, answer[-1] if stream else answer, row


@pytest.mark.parametrize("name", SPOKEN)
@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_says_who_gave_it_and_is_priced_by_who_was_asked(name, stream):
    model, answer, row = await asked_of(name, stream=stream)
    assert isinstance(answer, Answer)
    assert answer.model == row.facts["model"] == model.name
    assert answer.served == row.facts["served"] == SERVED[model.provider.model]
    assert answer.cost is not None


@pytest.mark.parametrize("name", SPOKEN)
async def test_where_it_is_the_same_name_the_record_does_not_repeat_it(name, monkeypatch):
    monkeypatch.setitem(SERVED, "m", "m")
    monkeypatch.setitem(SERVED, "claude-haiku-4-5", "claude-haiku-4-5")
    model, answer, row = await asked_of(name, stream=False)
    assert answer.served == model.provider.model
    assert "served" not in row.facts
