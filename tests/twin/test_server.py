"""The twin over sockets: HTTP as clients send it, also badly, and connections that end."""

import asyncio
import json
import socket
from contextlib import asynccontextmanager

import openai
import pytest

from fanwise.testing.twin import Fault, Law, Quota, Twin

# Sockets go by real time; tests are ordered by what arrives.
pytestmark = pytest.mark.real_clock

BODY = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hello"}]}).encode()


def post(body=BODY, *heads, path="/v1/chat/completions", version="1.1"):
    lines = [f"POST {path} HTTP/{version}", "host: twin", *heads]
    if not any(head.lower().startswith("transfer-encoding") for head in heads):
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Wire:
    """A connection, read as HTTP."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    def send(self, data):
        self.writer.write(data)

    async def head(self):
        data = await self.reader.readuntil(b"\r\n\r\n")
        first, *lines = data.decode().strip().split("\r\n")
        return int(first.split()[1]), dict(line.split(": ", 1) for line in lines)

    async def answer(self):
        status, heads = await self.head()
        return status, await self.reader.readexactly(int(heads["content-length"]))

    async def chunks(self):
        while size := int(await self.reader.readline(), 16):
            yield await self.reader.readexactly(size)
            await self.reader.readexactly(2)
        await self.reader.readexactly(2)

    async def ended(self):
        return await self.reader.read() == b""


@asynccontextmanager
async def wire_to(twin):
    async with twin.serve() as address:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(address.split(":")[-1]))
        try:
            yield Wire(reader, writer)
        finally:
            writer.close()


def text_of(body):
    return json.loads(body)["choices"][0]["message"]["content"]


async def test_a_connection_is_kept_and_requests_sent_ahead_are_answered_in_order():
    texts = [f"number {n}" for n in range(5)]
    bodies = [BODY.replace(b"hello", text.encode()) for text in texts]
    async with wire_to(Twin()) as wire:
        wire.send(b"".join(post(body) for body in bodies))
        assert [text_of((await wire.answer())[1]) for _ in texts] == texts


async def test_a_request_may_come_byte_by_byte():
    async with wire_to(Twin()) as wire:
        data = b"\r\n" + post()
        for at in range(len(data)):
            wire.send(data[at : at + 1])
            await wire.writer.drain()
            await asyncio.sleep(0)
        assert text_of((await wire.answer())[1]) == "hello"


async def test_a_body_may_come_in_chunks():
    chunked = b"".join(
        b"%x;note=1\r\n%b\r\n" % (len(BODY[at : at + 9]), BODY[at : at + 9])
        for at in range(0, len(BODY), 9)
    )
    async with wire_to(Twin()) as wire:
        request = post(b"", "Transfer-Encoding: chunked")
        wire.send(request + chunked + b"0\r\n\r\n" + post())
        assert text_of((await wire.answer())[1]) == "hello"
        assert text_of((await wire.answer())[1]) == "hello"


async def test_a_body_that_waits_to_be_asked_for_is_asked_for():
    request = post(BODY, "Expect: 100-continue")
    async with wire_to(Twin()) as wire:
        wire.send(request[: -len(BODY)])
        assert await wire.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        wire.send(BODY)
        assert (await wire.answer())[0] == 200


@pytest.mark.parametrize("request_", [post(BODY, "Connection: close"), post(version="1.0")])
async def test_a_connection_is_closed_where_that_is_wished(request_):
    async with wire_to(Twin()) as wire:
        wire.send(request_)
        assert (await wire.answer())[0] == 200
        assert await wire.ended()


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"hello there\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\n\r\n", 505),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\ncontent-length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\ncontent-length: 999999999999\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n-2\r\nab\r\n", 400),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n1\r\nabcd\r\n", 400),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n" + b"1" * 5000, 400),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nfffffffff\r\n", 413),
        (b"GET /" + b"x" * 70_000, 431),
        (b"\xff\xfe\x00 / HTTP/1.1\r\n\r\n", 400),
    ],
)
async def test_what_is_no_http_is_refused_and_the_connection_closed(data, status):
    async with wire_to(Twin()) as wire:
        wire.send(data)
        assert (await wire.head())[0] == status
        await wire.reader.read()


async def test_a_body_that_is_no_json_is_an_error_in_the_providers_form():
    async with wire_to(Twin()) as wire:
        for body in (b"", b"{", b"[1]", b"\xff"):
            wire.send(post(body))
            status, told = await wire.answer()
            assert status == 400
            assert json.loads(told)["error"]["type"] == "invalid_request_error"


async def test_a_stream_comes_in_chunks_and_the_connection_is_kept():
    body = json.dumps({**json.loads(BODY), "stream": True}).encode()
    async with wire_to(Twin()) as wire:
        for _ in range(2):
            wire.send(post(body))
            status, heads = await wire.head()
            assert (status, heads["transfer-encoding"]) == (200, "chunked")
            data = b"".join([chunk async for chunk in wire.chunks()])
            assert data.endswith(b"data: [DONE]\n\n")


async def test_a_caller_that_leaves_is_seen_while_the_model_thinks():
    twin = Twin({"m": Law(first=3600)})
    async with wire_to(twin) as wire:
        wire.send(post())
        while not len(twin.ledger):
            await asyncio.sleep(0)
        wire.writer.close()
        while not twin.ledger[0].closed:
            await asyncio.sleep(0)
    assert twin.ledger[0].status == 0


async def test_a_reset_is_a_reset():
    async with wire_to(Twin(faults=[Fault("reset")])) as wire:
        wire.send(post())
        with pytest.raises(ConnectionResetError):
            await wire.reader.read()


async def test_the_end_of_the_block_drops_what_still_runs():
    twin = Twin({"m": Law(first=3600)})
    async with twin.serve() as address:
        client = openai.AsyncOpenAI(api_key="k", base_url=f"{address}/v1", max_retries=0)
        messages = [{"role": "user", "content": "x"}]
        call = asyncio.create_task(client.chat.completions.create(model="m", messages=messages))
        while not len(twin.ledger):
            await asyncio.sleep(0)
    with pytest.raises(openai.APIConnectionError):
        await call
    await client.close()
    assert twin.ledger[0].closed


async def test_a_port_that_is_taken_is_an_error_at_once():
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        async with Twin().serve(port=taken.getsockname()[1]):
            pytest.fail("it cannot listen there")


async def test_a_caller_that_does_not_read_holds_the_stream_back():
    twin = Twin(answers=lambda ask: "x" * 8_000_000)
    body = json.dumps({**json.loads(BODY), "stream": True}).encode()
    async with wire_to(twin) as wire:
        wire.writer.transport.pause_reading()
        wire.send(post(body))
        sent = -1
        while not len(twin.ledger) or twin.ledger[0].sent != sent:
            sent = twin.ledger[0].sent if len(twin.ledger) else -1
            for _ in range(2000):
                await asyncio.sleep(0)
        assert 0 < sent < 1_000_000
    assert twin.ledger[0].closed


async def test_the_official_client_works_over_a_socket():
    twin = Twin(quota=Quota(requests_per_minute=1))
    async with twin.serve() as address:
        client = openai.AsyncOpenAI(api_key="k", base_url=f"{address}/v1", max_retries=0)
        async with client:
            messages = [{"role": "user", "content": "x" * 300_000}]
            found = await client.chat.completions.create(model="m", messages=messages)
            assert found.choices[0].message.content == "x" * 300_000
            with pytest.raises(openai.RateLimitError):
                await client.chat.completions.create(model="m", messages=messages)
