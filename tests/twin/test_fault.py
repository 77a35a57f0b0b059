"""Faults by script: each is what the official client would meet, and stands in the ledger."""

import asyncio
import contextlib
import json

import httpx2
import openai
import pytest

from fanwise.testing.twin import Fault, Law, Price, Twin
from tests.twin.talk import now, openai_on, said

LAW = {"m": Law(first=1.0, per_second=10)}


async def stream_of(client, text="x" * 40):
    stream = await client.chat.completions.create(model="m", messages=said(text), stream=True)
    found = []
    try:
        async for chunk in stream:
            found.append((now(), chunk.choices[0].delta.content or ""))
    except BaseException as error:
        return found, error
    finally:
        await stream.close()
    return found, None


async def test_a_reset_in_the_stream_drops_the_connection_after_so_many_tokens():
    twin = Twin(LAW, faults=[Fault("reset", nth=1, after=4)], prices={"m": Price("1", "1")})
    async with openai_on(twin) as client:
        found, error = await stream_of(client)
        assert isinstance(error, openai.APIConnectionError | httpx2.ReadError)
        assert "".join(text for _, text in found) == "x" * 16
        del error
        found, error = await stream_of(client)
        assert error is None
    first, second = twin.ledger
    assert (first.fault, first.finish, first.counts.tokens_out) == ("reset", None, 4)
    assert (second.fault, second.finish, second.counts.tokens_out) == ("", "stop", 10)
    assert first.cost < second.cost


async def test_a_reset_before_the_answer_is_a_lost_connection():
    async with openai_on(Twin(LAW, faults=[Fault("reset", nth=1)])) as client:
        with pytest.raises(openai.APIConnectionError):
            await client.chat.completions.create(model="m", messages=said("x"))


async def test_a_stall_is_silence_and_then_the_rest():
    async with openai_on(Twin(LAW, faults=[Fault("stall", after=2, seconds=30)])) as client:
        found, error = await stream_of(client)
    assert error is None
    times = [time for time, text in found if text]
    assert times == pytest.approx([1.0, 1.1, *(31.1 + n / 10 for n in range(8))], abs=0.11)
    assert times[2] - times[1] >= 30


async def test_a_stall_without_end_meets_the_clients_read_timeout():
    twin = Twin(LAW, faults=[Fault("stall", after=2)])
    async with openai_on(twin, timeout=7) as client:
        _, error = await stream_of(client)
        assert isinstance(error, openai.APITimeoutError | httpx2.ReadTimeout)
        assert now() == pytest.approx(1.1 + 7)
        del error
    assert twin.ledger[0].closed


async def test_a_stall_without_end_that_is_cancelled_leaves_nothing():
    twin = Twin(LAW, faults=[Fault("stall")])
    async with openai_on(twin) as client:
        call = asyncio.create_task(client.chat.completions.create(model="m", messages=said("x")))
        await asyncio.sleep(100)
        call.cancel()
        await asyncio.wait({call})
    assert twin.ledger[0].closed_at == 100


async def test_a_malformed_chunk_is_no_json():
    async with openai_on(Twin(LAW, faults=[Fault("malformed", after=1)])) as client:
        found, error = await stream_of(client)
        assert isinstance(error, json.JSONDecodeError)
        assert "".join(text for _, text in found) == "xxxx"
        del error


async def test_a_malformed_body_is_no_json():
    async with openai_on(Twin(LAW, faults=[Fault("malformed")])) as client:
        with pytest.raises((json.JSONDecodeError, openai.APIError)):
            await client.chat.completions.create(model="m", messages=said("x"))


async def test_an_outage_holds_for_its_time_and_is_over_then():
    outage = Fault("outage", between=(10, 20), status=500, retry_after=3)
    twin = Twin(faults=[outage])
    statuses, again = [], []
    async with openai_on(twin) as client:
        for _ in range(6):
            try:
                await client.chat.completions.create(model="m", messages=said("x"))
                statuses.append(200)
            except openai.InternalServerError as error:
                statuses.append(error.status_code)
                again.append(error.response.headers["retry-after"])
            await asyncio.sleep(5)
    assert statuses == [200, 200, 500, 500, 200, 200]
    assert again == ["3", "3"]


async def test_faults_hit_by_model_by_number_and_no_more_often_than_said():
    twin = Twin(
        faults=[Fault("status", model="a", nth=[1, 3]), Fault("status", model="b", times=2)]
    )
    statuses = {"a": [], "b": []}
    async with openai_on(twin) as client:
        for _ in range(4):
            for model, seen in statuses.items():
                try:
                    await client.chat.completions.create(model=model, messages=said("x"))
                    seen.append(200)
                except openai.InternalServerError as error:
                    seen.append(error.status_code)
    assert statuses == {"a": [503, 200, 503, 200], "b": [503, 503, 200, 200]}


async def test_a_share_is_drawn_from_the_seed():
    async def struck(seed):
        twin = Twin(faults=[Fault("status", share=0.3)], seed=seed)
        async with openai_on(twin) as client:
            for _ in range(200):
                with contextlib.suppress(openai.InternalServerError):
                    await client.chat.completions.create(model="m", messages=said("x"))
        return [entry.number for entry in twin.ledger if entry.fault]

    first = await struck(1)
    assert first == await struck(1) != await struck(2)
    assert 35 <= len(first) <= 85


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"kind": "fire"}, "kind='fire'"),
        ({"kind": "outage"}, "between"),
        ({"kind": "status", "status": 200}, "status=200"),
        ({"kind": "status", "share": 2}, "share=2"),
        ({"kind": "status", "status": "503"}, "status='503'"),
        ({"kind": "reset", "after": -1}, "after=-1"),
        ({"kind": "reset", "nth": 0}, "nth=0"),
        ({"kind": "reset", "nth": "3"}, "nth='3'"),
        ({"kind": "reset", "nth": [1, 0]}, "nth="),
        ({"kind": "reset", "times": 0}, "times=0"),
        ({"kind": "outage", "between": 5}, "between=5"),
        ({"kind": "outage", "between": (5, 1)}, "between="),
        ({"kind": "stall", "seconds": -1}, "seconds=-1"),
        ({"kind": "status", "retry_after": "1"}, "retry_after='1'"),
    ],
)
def test_a_script_that_means_nothing_is_refused(wrong, told):
    with pytest.raises(ValueError, match=told):
        Fault(**wrong)
