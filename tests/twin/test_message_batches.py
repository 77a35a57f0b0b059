"""Anthropic's message batches through the official client, by the clock."""

import asyncio

import anthropic
import pytest

from fanwise.testing.twin import BatchPace, Fault, Law, Price, Quota, Twin
from tests.twin.clients import clients

PACE = BatchPace(first=60, each=10, closing=5)


def asked(number, **more):
    messages = [{"role": "user", "content": f"number {number}"}]
    params = {"model": "m", "max_tokens": 50, "messages": messages, **more}
    return {"custom_id": f"id-{number}", "params": params}


def many(length):
    return [asked(number) for number in range(length)]


async def results(by, batch):
    return [each async for each in await by.anthropic.messages.batches.results(batch.id)]


def counted(batch):
    return {name: number for name, number in batch.request_counts.to_dict().items() if number}


async def test_a_batch_is_done_when_the_clock_says_so_and_its_results_come_in_another_order():
    twin = Twin(
        {"m": Law(first=1)},
        prices={"*": Price("3", "15")},
        quota=Quota(requests_per_minute=1),
        batches=PACE,
    )
    async with clients(twin) as by:
        batches = by.anthropic.messages.batches
        batch = await batches.create(requests=many(5))
        assert batch.processing_status == "in_progress"
        assert batch.results_url is None
        await asyncio.sleep(60 + 4 * 10 + 4.9)
        batch = await batches.retrieve(batch.id)
        assert (batch.processing_status, counted(batch)) == ("in_progress", {"processing": 5})
        await asyncio.sleep(0.2)
        batch = await batches.retrieve(batch.id)
        assert (batch.processing_status, counted(batch)) == ("ended", {"succeeded": 5})
        assert (batch.ended_at - batch.created_at).total_seconds() == pytest.approx(105)
        found = await results(by, batch)
    names = [each.custom_id for each in found]
    assert sorted(names) == [f"id-{number}" for number in range(5)]
    assert names != sorted(names)
    for each in found:
        message = each.result.message
        assert message.content[0].text == each.custom_id.replace("id-", "number ")
        assert message.usage.service_tier == "batch"
    entries = [entry for entry in twin.ledger if entry.batch]
    assert [entry.time for entry in entries] == [60, 70, 80, 90, 100]
    assert {str(entry.cost) for entry in entries} == {"0.0000180"}  # half of 2 * 3 + 2 * 15


async def test_a_cancelled_batch_keeps_and_charges_what_was_answered():
    twin = Twin(batches=PACE)
    async with clients(twin) as by:
        batches = by.anthropic.messages.batches
        batch = await batches.create(requests=many(5))
        await asyncio.sleep(75)
        batch = await batches.cancel(batch.id)
        assert batch.processing_status == "canceling"
        assert batch.cancel_initiated_at is not None
        await asyncio.sleep(5)
        batch = await batches.retrieve(batch.id)
        assert batch.processing_status == "ended"
        assert counted(batch) == {"succeeded": 2, "canceled": 3}
        kinds = sorted(each.result.type for each in await results(by, batch))
    assert kinds == ["canceled"] * 3 + ["succeeded"] * 2
    assert sum(entry.batch for entry in twin.ledger) == 2


async def test_what_is_not_answered_in_time_has_expired():
    twin = Twin(batches=BatchPace(first=60, each=60, closing=0, window=150))
    async with clients(twin) as by:
        batches = by.anthropic.messages.batches
        batch = await batches.create(requests=many(4))
        assert (batch.expires_at - batch.created_at).total_seconds() == pytest.approx(150)
        await asyncio.sleep(150)
        batch = await batches.retrieve(batch.id)
        assert counted(batch) == {"succeeded": 2, "expired": 2}
        kinds = sorted(each.result.type for each in await results(by, batch))
    assert kinds == ["expired", "expired", "succeeded", "succeeded"]


async def test_a_wrong_request_errs_alone():
    requests = [asked(1), asked(2, max_tokens=0), asked(3, model="unknown"), asked(4, stream=True)]
    twin = Twin({"m": Law()}, batches=PACE)
    async with clients(twin) as by:
        batches = by.anthropic.messages.batches
        batch = await batches.create(requests=requests)
        await asyncio.sleep(200)
        found = {each.custom_id: each.result for each in await results(by, batch)}
        batch = await batches.retrieve(batch.id)
    assert counted(batch) == {"succeeded": 1, "errored": 3}
    errors = {name: each.error.error for name, each in found.items() if each.type == "errored"}
    assert errors["id-2"].type == "invalid_request_error"
    assert "max_tokens" in errors["id-2"].message
    assert errors["id-3"].type == "not_found_error"
    assert "stream" in errors["id-4"].message


async def test_faults_of_connections_do_not_strike_in_batches_and_errors_do():
    faults = [Fault("stall", nth=1), Fault("reset", nth=2), Fault("status", status=500, nth=3)]
    twin = Twin(faults=faults, batches=PACE)
    async with clients(twin) as by:
        batch = await by.anthropic.messages.batches.create(requests=many(3))
        await asyncio.sleep(200)
        kinds = [each.result.type for each in await results(by, batch)]
    assert kinds == ["succeeded", "succeeded", "errored"]


async def test_batches_are_listed_the_newest_first_page_by_page_for_their_key():
    twin = Twin(batches=PACE)
    async with clients(twin) as by, clients(twin, key="another") as others:
        batches = by.anthropic.messages.batches
        made = [(await batches.create(requests=many(1))).id for _ in range(5)]
        await others.anthropic.messages.batches.create(requests=many(1))
        assert [each.id async for each in batches.list(limit=2)] == made[::-1]
        assert [each.id async for each in batches.list()] == made[::-1]
        page = await batches.list(limit=2)
        assert page.has_more
        before = await batches.list(limit=2, before_id=made[1])
        assert [each.id for each in before.data] == [made[3], made[2]]
        with pytest.raises(anthropic.BadRequestError, match="no such id"):
            await batches.list(after_id="nothing")
        with pytest.raises(anthropic.BadRequestError, match="limit"):
            await batches.list(limit=0)
        with pytest.raises(anthropic.NotFoundError):
            await others.anthropic.messages.batches.retrieve(made[0])


async def test_a_batch_that_has_ended_can_be_deleted():
    async with clients(Twin(batches=PACE)) as by:
        batches = by.anthropic.messages.batches
        batch = await batches.create(requests=many(1))
        with pytest.raises(anthropic.BadRequestError, match="in progress"):
            await batches.delete(batch.id)
        await asyncio.sleep(100)
        assert (await batches.delete(batch.id)).type == "message_batch_deleted"
        with pytest.raises(anthropic.NotFoundError):
            await batches.retrieve(batch.id)


async def test_looking_twice_at_once_answers_once():
    async def answer(_ask):
        await asyncio.sleep(1)
        return "ok"

    twin = Twin(answers=answer, batches=PACE)
    async with clients(twin) as by:
        batches = by.anthropic.messages.batches
        batch = await batches.create(requests=many(20))
        await asyncio.sleep(500)
        await asyncio.gather(*(batches.retrieve(batch.id) for _ in range(5)))
    assert sum(entry.batch for entry in twin.ledger) == 20


@pytest.mark.parametrize(
    ("requests", "told"),
    [
        ([], "requests"),
        ([asked(1), asked(1)], "Duplicate"),
        ([{**asked(1), "custom_id": "with blank"}], "requests.0.custom_id"),
        ([{"custom_id": "x"}], "requests.0.params"),
    ],
)
async def test_a_batch_that_cannot_be_is_refused(requests, told):
    async with clients(Twin()) as by:
        with pytest.raises(anthropic.BadRequestError, match=told):
            await by.anthropic.messages.batches.create(requests=requests)


async def test_results_are_not_there_before_the_end():
    async with clients(Twin(batches=PACE)) as by:
        batch = await by.anthropic.messages.batches.create(requests=many(1))
        path = f"/v1/messages/batches/{batch.id}/results"
        with pytest.raises(anthropic.NotFoundError, match="no available results"):
            await by.anthropic.get(path, cast_to=object)


@pytest.mark.parametrize(("name", "value"), [("first", -1), ("each", float("inf"))])
def test_a_pace_that_is_none_is_refused(name, value):
    with pytest.raises(ValueError, match=f"{name}="):
        BatchPace(**{name: value})
