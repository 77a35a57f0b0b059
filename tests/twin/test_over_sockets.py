"""The official clients in threads, as people use them, on a twin behind a socket."""

import asyncio
import threading

import anthropic
import openai
import pytest

from fanwise.testing.twin import Fault, Law, Quota, Twin

pytestmark = [pytest.mark.real_clock, pytest.mark.blocking_ok]
TEXT = "The quick brown fox jumps over the lazy dog."
ASKED = [{"role": "user", "content": TEXT}]


def both(address):
    return (
        openai.OpenAI(api_key="k", base_url=f"{address}/v1", max_retries=0),
        anthropic.Anthropic(api_key="k", base_url=address, max_retries=0),
    )


async def in_thread(twin, use):
    """Use both clients in a thread while the twin serves."""
    async with twin.serve() as address:

        def using():
            first, second = both(address)
            with first, second:
                return use(first, second)

        return await asyncio.to_thread(using)


async def test_every_endpoint_answers():
    def use(by_openai, by_anthropic):
        said = by_anthropic.messages.create(model="m", max_tokens=50, messages=ASKED)
        vectors = by_openai.embeddings.create(model="m", input=["a", "b"])
        return (
            by_openai.chat.completions.create(model="m", messages=ASKED).choices[0].message.content,
            by_openai.responses.create(model="m", input=TEXT).output_text,
            said.content[0].text,
            len(vectors.data),
            by_anthropic.messages.count_tokens(model="m", messages=ASKED).input_tokens,
        )

    assert await in_thread(Twin(), use) == (TEXT, TEXT, TEXT, 2, 11)


async def test_streams_come_piece_by_piece():
    def use(by_openai, by_anthropic):
        with by_anthropic.messages.stream(model="m", max_tokens=50, messages=ASKED) as stream:
            said = list(stream.text_stream)
        with by_openai.responses.stream(model="m", input=TEXT) as events:
            told = [each.delta for each in events if each.type == "response.output_text.delta"]
        chunks = by_openai.chat.completions.create(model="m", messages=ASKED, stream=True)
        chat = [each.choices[0].delta.content or "" for each in chunks]
        return said, told, [each for each in chat if each]

    said, told, chat = await in_thread(Twin({"m": Law(per_second=2000)}), use)
    assert said == told == chat == [TEXT[at : at + 4] for at in range(0, len(TEXT), 4)]


async def test_limits_and_faults_are_the_clients_own_errors():
    def use(by_openai, by_anthropic):
        found = []
        for ask in (
            lambda: by_openai.chat.completions.create(model="m", messages=ASKED),
            lambda: by_openai.responses.create(model="m", input=TEXT),
            lambda: by_anthropic.messages.create(model="m", max_tokens=50, messages=ASKED),
            lambda: by_anthropic.messages.create(model="m", max_tokens=50, messages=ASKED),
        ):
            try:
                ask()
                found.append("answered")
            except (openai.APIError, anthropic.APIError) as error:
                found.append(type(error).__name__)
        return found

    faults = [Fault("reset", nth=1), Fault("status", status=529, nth=3)]
    twin = Twin(faults=faults, quota=Quota(requests_per_minute=1))
    found = await in_thread(twin, use)
    assert found == ["APIConnectionError", "RateLimitError", "OverloadedError", "RateLimitError"]


async def test_closing_a_stream_is_seen_by_the_twin():
    opened, go_on = threading.Event(), threading.Event()
    twin = Twin({"m": Law(per_second=5)})  # 11 tokens: two seconds

    def use(_, by_anthropic):
        with by_anthropic.messages.stream(model="m", max_tokens=50, messages=ASKED) as stream:
            next(iter(stream.text_stream))
            opened.set()
        # The connection is closed now; the twin's loop sees it without another request.
        assert go_on.wait(10)

    async with twin.serve() as address:

        def using():
            first, second = both(address)
            with first, second:
                use(first, second)

        thread = asyncio.create_task(asyncio.to_thread(using))
        await asyncio.to_thread(opened.wait, 10)
        while not twin.ledger[0].closed:
            await asyncio.sleep(0)
        go_on.set()
        await thread
    entry = twin.ledger[0]
    assert 1 <= entry.counts.tokens_out < 11
    assert entry.finish is None


async def test_a_file_and_a_batch_go_over_a_socket():
    def use(by_openai, by_anthropic):
        file = by_openai.files.create(file=("in.jsonl", b"x" * 300_000), purpose="batch")
        batch = by_anthropic.messages.batches.create(
            requests=[
                {
                    "custom_id": "one",
                    "params": {"model": "m", "max_tokens": 50, "messages": ASKED},
                }
            ]
        )
        return len(by_openai.files.content(file.id).content), batch.processing_status

    assert await in_thread(Twin(), use) == (300_000, "in_progress")
