"""What holds on chat completions, responses and messages alike, seen by the official clients."""

import asyncio

import pytest

from fanwise.testing.twin import Fault, Law, Price, Quota, Script, Twin
from tests.twin.clients import SPEAKERS, clients, joined, listen

PARAMETERS = pytest.mark.parametrize("speaker", SPEAKERS, ids=lambda each: each.name)
PRICES = {"*": Price("3", "15")}
TEXT = "The quick brown fox jumps over the lazy dog."


def clock() -> float:
    return asyncio.get_running_loop().time()


@PARAMETERS
async def test_an_answer_comes_in_the_models_time_with_its_tokens(speaker):
    twin = Twin({"m": Law(first=0.5, per_second=10)}, prices=PRICES)
    async with clients(twin) as by:
        found = await speaker(by).ask(TEXT)
    entry = twin.ledger[0]
    assert found.text == TEXT
    assert (found.tokens_in, found.tokens_out) == (11, 11)
    assert (entry.counts.tokens_in, entry.counts.tokens_out) == (11, 11)
    assert clock() == pytest.approx(0.5 + 10 / 10)  # the first token, and ten after it
    assert str(entry.cost) == "0.000198"


@PARAMETERS
async def test_a_stream_comes_token_by_token(speaker):
    twin = Twin({"m": Law(first=0.5, per_second=10)})
    async with clients(twin) as by:
        seen = await listen(speaker(by), TEXT)
    assert joined(seen) == TEXT
    assert [at for at, _ in seen] == pytest.approx([0.5 + each / 10 for each in range(11)])


@PARAMETERS
async def test_an_unknown_model_is_not_found(speaker):
    async with clients(Twin({"other": Law()})) as by:
        with pytest.raises(speaker.errors.NotFoundError, match="m"):
            await speaker(by).ask(TEXT)


@PARAMETERS
@pytest.mark.parametrize(
    ("status", "error"),
    [(400, "BadRequestError"), (401, "AuthenticationError"), (500, "InternalServerError")],
)
async def test_a_status_is_the_clients_own_error(speaker, status, error):
    twin = Twin(faults=[Fault("status", status=status)])
    async with clients(twin) as by:
        with pytest.raises(getattr(speaker.errors, error)) as caught:
            await speaker(by).ask(TEXT)
    assert caught.value.status_code == status
    assert twin.ledger[0].status == status


@PARAMETERS
async def test_too_many_requests_are_refused_with_the_time_to_wait(speaker):
    twin = Twin(quota=Quota(requests_per_minute=60, burst_s=2))
    async with clients(twin) as by:
        one = speaker(by)
        await one.ask("a")
        await one.ask("b")
        with pytest.raises(speaker.errors.RateLimitError) as caught:
            await one.ask("c")
        assert caught.value.response.headers["retry-after"] == "1"
        await asyncio.sleep(1)
        assert (await one.ask("c")).text == "c"
    assert [entry.status for entry in twin.ledger] == [200, 200, 429, 200]


@PARAMETERS
async def test_a_client_that_retries_waits_as_it_is_told(speaker):
    twin = Twin(quota=Quota(requests_per_minute=6, burst_s=10))
    async with clients(twin, retries=1) as by:
        one = speaker(by)
        await one.ask("a")
        assert (await one.ask("b")).text == "b"
    assert [entry.status for entry in twin.ledger] == [200, 429, 200]
    assert twin.ledger[2].time == pytest.approx(10, abs=0.001)


@PARAMETERS
async def test_an_overloaded_provider_is_asked_again(speaker):
    twin = Twin(faults=[Fault("status", status=529, nth=1)])
    async with clients(twin, retries=1) as by:
        assert (await speaker(by).ask("a")).text == "a"
    assert [entry.status for entry in twin.ledger] == [529, 200]


@PARAMETERS
async def test_an_outage_ends(speaker):
    twin = Twin(faults=[Fault("outage", status=503, between=(0, 60))])
    async with clients(twin) as by:
        one = speaker(by)
        with pytest.raises(speaker.errors.InternalServerError):
            await one.ask("a")
        await asyncio.sleep(60)
        assert (await one.ask("a")).text == "a"


@PARAMETERS
async def test_a_dropped_connection_is_a_connection_error(speaker):
    twin = Twin(faults=[Fault("reset")])
    async with clients(twin) as by:
        with pytest.raises(speaker.errors.APIConnectionError):
            await speaker(by).ask(TEXT)


@PARAMETERS
async def test_a_stream_that_is_dropped_gave_what_came_before(speaker):
    twin = Twin(faults=[Fault("reset", after=3)], prices=PRICES)
    seen = []
    async with clients(twin) as by:
        with pytest.raises(Exception, match=r"dropped|Connection") as caught:
            await listen(speaker(by), TEXT, seen=seen)
    assert joined(seen) == TEXT[:12]
    assert not isinstance(caught.value, AssertionError)
    assert twin.ledger[0].counts.tokens_out == 3  # charged for what was made


@PARAMETERS
async def test_a_stream_that_stalls_runs_into_the_clients_timeout(speaker):
    twin = Twin({"m": Law(per_second=10)}, faults=[Fault("stall", after=3)])
    seen = []
    async with clients(twin) as by:
        with pytest.raises(Exception, match=r"silent|timed out") as caught:
            await listen(speaker(by), TEXT, seen=seen, timeout=5)
    assert joined(seen) == TEXT[:12]
    assert "Timeout" in type(caught.value).__name__
    assert twin.ledger[0].closed_at == pytest.approx(clock())


@PARAMETERS
async def test_a_stall_of_some_seconds_is_only_late(speaker):
    twin = Twin({"m": Law(per_second=10)}, faults=[Fault("stall", after=3, seconds=7)])
    async with clients(twin) as by:
        assert joined(await listen(speaker(by), TEXT)) == TEXT
    assert clock() == pytest.approx(10 / 10 + 7)


@PARAMETERS
async def test_a_malformed_chunk_breaks_the_clients_reading(speaker):
    twin = Twin(faults=[Fault("malformed", after=2)])
    seen = []
    async with clients(twin) as by:
        with pytest.raises(ValueError, match=r"Expecting|Unterminated"):
            await listen(speaker(by), TEXT, seen=seen)
    assert joined(seen) == TEXT[:8]


@PARAMETERS
async def test_a_malformed_body_breaks_the_clients_reading(speaker):
    async with clients(Twin(faults=[Fault("malformed")])) as by:
        with pytest.raises(Exception, match=r"Expecting|Unterminated|JSON"):
            await speaker(by).ask(TEXT)


@PARAMETERS
async def test_closing_a_stream_is_seen_and_only_what_was_sent_is_charged(speaker):
    twin = Twin({"m": Law(first=1, per_second=4)}, prices=PRICES)
    async with clients(twin) as by:
        await listen(speaker(by), TEXT, until=12)
        entry = twin.ledger[0]
        assert entry.closed
        assert entry.closed_at == pytest.approx(1 + 2 / 4)
        assert (entry.sent, entry.counts.tokens_out) == (3, 3)
        assert entry.finish is None


@PARAMETERS
async def test_a_cancelled_question_is_charged_for_what_was_made(speaker):
    twin = Twin({"m": Law(first=1, per_second=4)}, prices=PRICES)
    async with clients(twin) as by:
        asking = asyncio.create_task(speaker(by).ask(TEXT))
        await asyncio.sleep(1.6)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        entry = twin.ledger[0]
        assert entry.closed_at == pytest.approx(1.6)
        assert entry.counts.tokens_out == 3  # at 1, 1.25 and 1.5 s


@PARAMETERS
async def test_an_answer_is_cut_at_the_bound(speaker):
    name = {"responses": "max_output_tokens"}.get(speaker.name, "max_tokens")
    twin = Twin()
    async with clients(twin) as by:
        found = await speaker(by).ask(TEXT, **{name: 4})
    assert (found.text, found.tokens_out) == (TEXT[:16], 4)
    assert twin.ledger[0].finish == "length"


@PARAMETERS
async def test_many_at_once_keep_their_own_answers(speaker):
    twin = Twin({"m": Law(first=1, per_second=100, jitter=0.5)}, answers="echo")
    async with clients(twin) as by:
        one = speaker(by)
        found = await asyncio.gather(*(one.ask(f"question {each}") for each in range(50)))
    assert [each.text for each in found] == [f"question {each}" for each in range(50)]
    assert twin.statistics().requests == 50


@PARAMETERS
async def test_a_script_answers_in_order(speaker):
    twin = Twin(answers=Script(["one", "two"]))
    async with clients(twin) as by:
        one = speaker(by)
        assert [(await one.ask("?")).text for _ in range(2)] == ["one", "two"]


@PARAMETERS
async def test_letters_of_all_scripts_go_through(speaker):
    text = 'Grüße, 世界 😀\n\t"quoted" \u2028 end'
    async with clients(Twin()) as by:
        one = speaker(by)
        assert (await one.ask(text)).text == text
        assert joined(await listen(one, text)) == text


@PARAMETERS
async def test_requests_have_ids(speaker):
    async with clients(Twin(faults=[Fault("status", status=400)])) as by:
        with pytest.raises(speaker.errors.BadRequestError) as caught:
            await speaker(by).ask(TEXT)
    assert caught.value.request_id.startswith("req_")
