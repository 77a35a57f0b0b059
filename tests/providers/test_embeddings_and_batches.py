"""Embeddings, and the batch APIs of OpenAI and Anthropic, on the twin."""

import asyncio

import pytest

from fanwise import Retry
from fanwise.models import (
    Answer,
    BatchProvider,
    Chat,
    Embedder,
    Message,
    Request,
    ToolSpec,
)
from fanwise.models._output import schema_of
from fanwise.testing import no_orphans
from fanwise.testing.twin import BatchPace, Calls, Fault, Script, Twin
from tests.providers.on_twin import adapter, on_twin

batched = pytest.mark.parametrize("name", ["openai", "openai-responses", "anthropic"])


@pytest.mark.parametrize("name", ["openai", "openai-compatible"])
async def test_vectors_come_in_the_order_of_the_texts(name):
    twin = Twin(faults=[Fault("status", status=503, times=1)])
    with no_orphans():
        async with twin.client() as http:
            made = adapter(name, http)
            embedder = Embedder(made, retry=Retry(attempts=2))
            found = await embedder.embed(["one", "two", "one"])
    assert found.vectors[0] == found.vectors[2] != found.vectors[1]
    assert found.model == made.name
    assert found.usage.tokens_in == twin.ledger[1].counts.tokens_in > 0
    assert [entry.status for entry in twin.ledger] == [503, 200]


@batched
async def test_a_batch_is_handed_in_waited_for_and_read_by_its_ids(name):
    twin = Twin(batches=BatchPace(first=60, each=1))
    requests = {f"id-{n}": Request(f"number {n}") for n in range(5)}
    async with on_twin(name, twin) as model:
        batches = model.provider
        assert isinstance(batches, BatchProvider)
        handle = await batches.submit(requests)
        assert isinstance(handle, str)
        status = await batches.status(handle)
        assert (status.state, status.ended) == ("running", False)
        with pytest.raises(ValueError, match="not ended"):
            async for _ in batches.results(handle):
                pass
        await asyncio.sleep(100)
        again = adapter(name, model.provider._at[asyncio.get_running_loop()][1]._client)
        status = await again.status(handle)
        assert (status.state, status.requests, status.answered) == ("ended", 5, 5)
        found = {result.custom_id: result.outcome async for result in again.results(handle)}
    assert {custom_id: outcome.text for custom_id, outcome in found.items()} == {
        f"id-{n}": f"number {n}" for n in range(5)
    }
    assert all(isinstance(outcome, Answer) for outcome in found.values())
    assert all(outcome.usage.tokens_in > 0 for outcome in found.values())
    assert {outcome.model for outcome in found.values()} == {model.name}
    assert all(entry.batch for entry in twin.ledger if entry.counts.tokens_out)


@batched
async def test_what_expired_and_what_was_cancelled_is_told_apart(name):
    pace = BatchPace(first=10, each=100, window=50)
    async with on_twin(name, Twin(batches=pace)) as model:
        requests = {str(n): Request("hi") for n in range(3)}
        late = await model.provider.submit(requests)
        await asyncio.sleep(1000)
        assert (await model.provider.status(late)).ended
        outcomes = [result.outcome async for result in model.provider.results(late)]
        assert outcomes.count("expired") == 2
        assert sum(isinstance(outcome, Answer) for outcome in outcomes) == 1

        stopped = await model.provider.submit(requests)
        await asyncio.sleep(12)
        await model.provider.cancel(stopped)
        await asyncio.sleep(100)
        outcomes = [result.outcome async for result in model.provider.results(stopped)]
        assert outcomes.count("cancelled") == 2


@batched
async def test_tools_and_types_go_through_a_batch(name):
    look = ToolSpec("look", "Looks.", {"type": "object", "properties": {}})
    calls = Calls([("look", {"what": "x"})])
    listed = Script(['{"answer_value": [1, 2]}'])
    twin = Twin(answers=lambda ask: calls(ask) if ask.tools else listed(ask))
    async with on_twin(name, twin) as model:
        chat = Chat((Message("user", "why?"),), system="Be short.")
        handle = await model.provider.submit(
            {
                "tool": Request(chat, (look,)),
                "list": Request("numbers", schema=schema_of(list[int])),
            }
        )
        await asyncio.sleep(10_000)
        found = {
            result.custom_id: result.outcome async for result in model.provider.results(handle)
        }
    assert [call.arguments for call in found["tool"].calls] == [{"what": "x"}]
    assert found["tool"].finish == "tools"
    assert found["list"].text == "[1, 2]"


@batched
async def test_wrong_use_of_batches_is_refused(name):
    async with on_twin(name, Twin()) as model:
        with pytest.raises(ValueError, match="at least one request"):
            await model.provider.submit({})
        with pytest.raises(ValueError, match="'a b'"):
            await model.provider.submit({"a b": Request("hi")})


async def test_who_has_no_batch_api_does_not_say_so():
    async with on_twin("openai-compatible", Twin()) as model:
        assert not isinstance(model.provider, BatchProvider)
