"""OpenAI's files and batches through the official client, by the clock."""

import asyncio
import json

import openai
import pytest

from fanwise.testing.twin import BatchPace, Fault, Law, Price, Quota, Twin
from tests.twin.clients import clients

PACE = BatchPace(first=60, each=10, closing=5)
CHAT = "/v1/chat/completions"


def line(number, *, url=CHAT, model="m", **more):
    messages = [{"role": "user", "content": f"number {number}"}]
    body = {"model": model, "messages": messages, **more}
    if url == "/v1/responses":
        body = {"model": model, "input": f"number {number}", **more}
    if url == "/v1/embeddings":
        body = {"model": model, "input": f"number {number}", **more}
    return {"custom_id": f"id-{number}", "method": "POST", "url": url, "body": body}


async def begun(by, lines, url=CHAT):
    text = "\n".join(each if isinstance(each, str) else json.dumps(each) for each in lines)
    file = await by.openai.files.create(file=("in.jsonl", text.encode()), purpose="batch")
    return await by.openai.batches.create(
        input_file_id=file.id, endpoint=url, completion_window="24h", metadata={"of": "tests"}
    )


async def lines_of(by, file):
    content = await by.openai.files.content(file)
    return [json.loads(each) for each in content.text.splitlines()]


def counts(batch):
    found = batch.request_counts
    return found.total, found.completed, found.failed


async def test_a_batch_goes_through_its_states_by_the_clock():
    twin = Twin(
        {"m": Law(first=1)},
        prices={"*": Price("3", "15")},
        quota=Quota(requests_per_minute=1),
        batches=PACE,
    )
    async with clients(twin) as by:
        batch = await begun(by, [line(number) for number in range(5)])
        seen = [(0, batch.status, counts(batch))]
        for at in (5, 61, 101, 105):
            await asyncio.sleep(at - seen[-1][0])
            batch = await by.openai.batches.retrieve(batch.id)
            seen.append((at, batch.status, counts(batch)))
        found = await lines_of(by, batch.output_file_id)
    assert seen == [
        (0, "validating", (5, 0, 0)),
        (5, "in_progress", (5, 0, 0)),
        (61, "in_progress", (5, 1, 0)),
        (101, "finalizing", (5, 5, 0)),
        (105, "completed", (5, 5, 0)),
    ]
    assert batch.error_file_id is None
    assert batch.completed_at - batch.created_at == 105
    assert batch.usage.total_tokens == 5 * 4
    assert (batch.model, batch.metadata) == ("m", {"of": "tests"})
    names = [each["custom_id"] for each in found]
    assert sorted(names) == [f"id-{number}" for number in range(5)]
    assert names != sorted(names)
    for each in found:
        said = each["response"]["body"]["choices"][0]["message"]["content"]
        assert said == each["custom_id"].replace("id-", "number ")
        assert each["response"]["status_code"] == 200
    entries = [entry for entry in twin.ledger if entry.batch]
    assert [entry.time for entry in entries] == [60, 70, 80, 90, 100]
    assert {str(entry.cost) for entry in entries} == {"0.0000180"}  # half of 2 * 3 + 2 * 15


@pytest.mark.parametrize("url", ["/v1/responses", "/v1/embeddings"])
async def test_other_endpoints_have_batches_too(url):
    async with clients(Twin(batches=PACE)) as by:
        batch = await begun(by, [line(number, url=url) for number in range(3)], url)
        await asyncio.sleep(100)
        batch = await by.openai.batches.retrieve(batch.id)
        found = await lines_of(by, batch.output_file_id)
    assert batch.status == "completed"
    assert len(found) == 3
    kind = {"/v1/responses": "response", "/v1/embeddings": "list"}[url]
    assert {each["response"]["body"]["object"] for each in found} == {kind}
    assert batch.usage.input_tokens == 3 * 2


async def test_what_failed_stands_in_a_file_of_its_own():
    twin = Twin({"m": Law()}, faults=[Fault("status", status=500, nth=1)], batches=PACE)
    async with clients(twin) as by:
        batch = await begun(by, [line(1), line(2, max_tokens=0), line(3)])
        await asyncio.sleep(200)
        batch = await by.openai.batches.retrieve(batch.id)
        good = await lines_of(by, batch.output_file_id)
        bad = await lines_of(by, batch.error_file_id)
    assert batch.status == "completed"
    assert counts(batch) == (3, 1, 2)
    assert len(good) == 1
    statuses = {each["custom_id"]: each["response"]["status_code"] for each in bad}
    assert sorted(statuses.values()) == [400, 500]
    assert statuses["id-2"] == 400


async def test_a_cancelled_batch_keeps_and_charges_what_was_answered():
    twin = Twin(batches=PACE)
    async with clients(twin) as by:
        batch = await begun(by, [line(number) for number in range(5)])
        await asyncio.sleep(75)
        batch = await by.openai.batches.cancel(batch.id)
        assert batch.status == "cancelling"
        await asyncio.sleep(5)
        batch = await by.openai.batches.retrieve(batch.id)
        assert batch.status == "cancelled"
        assert len(await lines_of(by, batch.output_file_id)) == 2
        bad = await lines_of(by, batch.error_file_id)
        with pytest.raises(openai.ConflictError, match="cancelled"):
            await by.openai.batches.cancel(batch.id)
    assert [each["error"]["code"] for each in bad] == ["batch_cancelled"] * 3
    assert sum(entry.batch for entry in twin.ledger) == 2


async def test_what_is_not_answered_in_time_has_expired():
    twin = Twin(batches=BatchPace(first=60, each=60, closing=0, window=150))
    async with clients(twin) as by:
        batch = await begun(by, [line(number) for number in range(4)])
        await asyncio.sleep(150)
        batch = await by.openai.batches.retrieve(batch.id)
        assert batch.status == "expired"
        assert batch.expired_at == batch.expires_at == batch.created_at + 150
        assert len(await lines_of(by, batch.output_file_id)) == 2
        bad = await lines_of(by, batch.error_file_id)
    assert [each["error"]["code"] for each in bad] == ["batch_expired"] * 2
    assert {each["response"] for each in bad} == {None}


@pytest.mark.parametrize(
    ("lines", "code", "number"),
    [
        ([], "empty_file", None),
        ([line(1), "{no json"], "invalid_json_line", 2),
        ([line(1), line(1)], "duplicate_custom_id", 2),
        ([line(1), line(2, model="n")], "mismatched_model", None),
        ([line(1, url="/v1/embeddings")], "mismatched_endpoint", 1),
        ([{**line(1), "method": "GET"}], "invalid_request", 1),
        ([line(1, stream=True)], "invalid_request", 1),
    ],
)
async def test_a_file_that_is_wrong_fails_the_batch(lines, code, number):
    twin = Twin(batches=PACE)
    async with clients(twin) as by:
        batch = await begun(by, lines)
        assert (batch.status, batch.errors) == ("validating", None)
        await asyncio.sleep(5)
        batch = await by.openai.batches.retrieve(batch.id)
        with pytest.raises(openai.ConflictError):
            await by.openai.batches.cancel(batch.id)
        await asyncio.sleep(500)
        later = await by.openai.batches.retrieve(batch.id)
    assert batch.status == later.status == "failed"
    assert later.output_file_id is None
    error = batch.errors.data[0]
    assert (error.code, error.line) == (code, number)
    assert not any(entry.batch for entry in twin.ledger)


async def test_batches_are_listed_the_newest_first_page_by_page():
    async with clients(Twin()) as by:
        made = [(await begun(by, [line(1)])).id for _ in range(5)]
        assert [each.id async for each in by.openai.batches.list(limit=2)] == made[::-1]


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"endpoint": "/v1/images"}, "endpoint"),
        ({"completion_window": "1h"}, "completion_window"),
        ({"input_file_id": "file-x"}, None),
    ],
)
async def test_a_batch_that_cannot_be_is_refused(wrong, param):
    async with clients(Twin()) as by:
        file = await by.openai.files.create(file=b"{}", purpose="batch")
        body = {"endpoint": CHAT, "completion_window": "24h", "input_file_id": file.id, **wrong}
        with pytest.raises((openai.BadRequestError, openai.NotFoundError)) as caught:
            await by.openai.batches.create(**body)
    assert caught.value.param == param


async def test_files_are_given_back_byte_by_byte():
    content = bytes(range(256)) * 10 + b"\r\n--end\r\n"
    async with clients(Twin()) as by:
        files = by.openai.files
        file = await files.create(file=('Grüße "x".bin', content), purpose="user_data")
        assert (file.filename, file.bytes) == ('Grüße "x".bin', len(content))
        assert (await files.content(file.id)).content == content
        assert (await files.retrieve(file.id)).purpose == "user_data"
        await files.delete(file.id)
        with pytest.raises(openai.NotFoundError):
            await files.retrieve(file.id)


async def test_files_are_listed_by_purpose_and_only_for_their_key():
    twin = Twin()
    async with clients(twin) as by, clients(twin, key="another") as others:
        files = by.openai.files
        made = [
            (await files.create(file=("x", b"x"), purpose=purpose)).id
            for purpose in ("batch", "user_data", "batch")
        ]
        await others.openai.files.create(file=("x", b"x"), purpose="batch")
        assert [each.id async for each in files.list(limit=1)] == made[::-1]
        assert [each.id async for each in files.list(purpose="batch")] == [made[2], made[0]]
        with pytest.raises(openai.NotFoundError):
            await others.openai.files.content(made[0])


@pytest.mark.parametrize(
    ("headers", "body", "told"),
    [
        ({"content-type": "application/json"}, b"{}", "multipart/form-data"),
        ({"content-type": "multipart/form-data; boundary=x"}, b"--x\r\ncut", "last boundary"),
        ({"content-type": "multipart/form-data; boundary=x"}, b"--x\r\n\r\n\r\n--x--", "no name"),
    ],
)
async def test_a_form_that_is_none_is_refused(headers, body, told):
    twin = Twin()
    async with twin.client() as http:
        response = await http.post("/v1/files", headers=headers, content=body)
    assert response.status_code == 400
    assert told in response.json()["error"]["message"]
