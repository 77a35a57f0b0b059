"""What goes wrong at a provider: retried as the policy says, once, and told with its reasons."""

import asyncio

import httpx2
import pytest

from fanwise import Retry, providers
from fanwise.core import StepTimedOut, Timeout
from fanwise.core._transient import http_status, is_transient, retry_after
from fanwise.models import BrokenAnswer, Model, Request, Text
from fanwise.testing import no_orphans
from fanwise.testing.twin import Fault, Law, Quota, Twin
from tests.providers.on_twin import SPOKEN, on_twin

every = pytest.mark.parametrize("name", SPOKEN)
LONG = "a text of many more tokens than two or three, so that it takes its time"


def now() -> float:
    return asyncio.get_running_loop().time()


@every
async def test_a_refusal_is_raised_at_once_and_the_client_retries_nothing(name):
    twin = Twin(faults=[Fault("status", status=429, retry_after=7.0)])
    async with on_twin(name, twin) as model:
        with pytest.raises(Exception) as raised:
            await model.ask("hi")
    assert len(twin.ledger) == 1
    assert http_status(raised.value) == 429
    assert retry_after(raised.value) == 7.0
    assert is_transient(raised.value)


@every
async def test_a_policy_waits_as_long_as_the_provider_asks(name):
    twin = Twin(faults=[Fault("status", status=429, retry_after=7.0, times=1)])
    async with on_twin(name, twin, retry=Retry(attempts=3)) as model:
        assert (await model.ask("hi")).text == "hi"
        assert now() >= 7.0
    assert [entry.status for entry in twin.ledger] == [429, 200]


@every
@pytest.mark.parametrize("status", [500, 503, 529])
async def test_an_overloaded_provider_is_asked_again(name, status):
    twin = Twin(faults=[Fault("status", status=status, times=2)])
    async with on_twin(name, twin, retry=Retry(attempts=3)) as model:
        assert (await model.ask("hi")).text == "hi"
    assert [entry.status for entry in twin.ledger] == [status, status, 200]


@every
@pytest.mark.parametrize("status", [400, 401, 403, 404])
async def test_what_will_not_pass_is_not_retried(name, status):
    twin = Twin(faults=[Fault("status", status=status)])
    async with on_twin(name, twin, retry=Retry(attempts=3)) as model:
        with pytest.raises(Exception) as raised:
            await model.ask("hi")
    assert http_status(raised.value) == status
    assert len(twin.ledger) == 1


@every
@pytest.mark.parametrize("kind", ["malformed", "reset"])
async def test_a_broken_answer_is_asked_for_again(name, kind):
    twin = Twin(faults=[Fault(kind, times=1)])
    async with on_twin(name, twin, retry=Retry(attempts=2)) as model:
        assert (await model.ask("hi")).text == "hi"
    assert len(twin.ledger) == 2


@every
@pytest.mark.parametrize("kind", ["malformed", "reset"])
async def test_a_stream_that_breaks_raises_what_may_be_retried(name, kind):
    twin = Twin(faults=[Fault(kind, after=2)])
    async with on_twin(name, twin) as model:
        with pytest.raises(Exception) as raised:
            async for _ in model.provider.pieces(Request(LONG)):
                pass
    assert is_transient(raised.value), repr(raised.value)
    assert isinstance(raised.value, BrokenAnswer) == (kind == "malformed")


@every
async def test_a_stream_that_stalls_is_closed_by_the_wait_for_its_next_piece(name):
    twin = Twin({"*": Law(first=1.0, per_second=10)}, faults=[Fault("stall", after=2)])
    async with on_twin(name, twin, timeout=Timeout(60.0, idle=3.0)) as model:
        seen = []
        with pytest.raises(StepTimedOut):
            async with model.stream(LONG) as pieces:
                async for piece in pieces:
                    seen.append(piece)
        assert now() == pytest.approx(1.1 + 3.0)
    assert sum(isinstance(piece, Text) for piece in seen) == 2
    assert twin.ledger[0].closed_at == pytest.approx(4.1)


@every
async def test_a_cancelled_answer_closes_its_connection_and_is_awaited(name):
    twin = Twin({"*": Law(first=5.0)})
    async with on_twin(name, twin) as model:
        task = asyncio.ensure_future(model.ask(LONG))
        await asyncio.sleep(1.0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        entry = twin.ledger[0]
        assert (entry.closed_at, now()) == (1.0, 1.0)


@every
async def test_a_cancelled_stream_closes_its_connection_and_is_awaited(name):
    twin = Twin({"*": Law(first=1.0, per_second=10)})
    async with on_twin(name, twin) as model:

        async def read() -> None:
            async with model.stream(LONG) as pieces:
                async for _ in pieces:
                    pass

        task = asyncio.create_task(read())
        await asyncio.sleep(1.25)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (twin.ledger[0].closed_at, now()) == (1.25, 1.25)


@every
async def test_a_stream_that_is_left_closes_its_connection_and_is_awaited(name):
    twin = Twin({"*": Law(first=1.0, per_second=10)})
    async with on_twin(name, twin) as model:
        async with model.stream(LONG) as pieces:
            async for _ in pieces:
                break
        assert twin.ledger[0].closed
        assert twin.ledger[0].closed_at == pytest.approx(1.0)


class Counting(httpx2.AsyncBaseTransport):
    """Counts how often the body of each response is closed."""

    def __init__(self, below: httpx2.AsyncBaseTransport) -> None:
        self.below = below
        self.closed: list[int] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await self.below.handle_async_request(request)
        response.stream = CountingBody(response.stream, self.closed)
        return response


class CountingBody(httpx2.AsyncByteStream):
    def __init__(self, below, closed: list[int]) -> None:
        self.below, self.closed, self.place = below, closed, len(closed)
        closed.append(0)

    async def __aiter__(self):
        async for chunk in self.below:
            yield chunk

    async def aclose(self) -> None:
        self.closed[self.place] += 1
        await self.below.aclose()


@pytest.mark.parametrize("end", ["read", "left", "cancelled", "broken"])
async def test_a_connection_is_closed_once_whatever_ends_it(end):
    faults = [Fault("malformed", after=2)] if end == "broken" else []
    twin = Twin({"*": Law(first=1.0, per_second=10)}, faults=faults)
    with no_orphans():
        transport = Counting(twin.transport())
        async with httpx2.AsyncClient(transport=transport, timeout=None) as http:
            made = providers.openai("m", key="k", base_url="http://twin/v1", http=http)

            async def read() -> None:
                async with Model(made).stream(LONG) as pieces:
                    async for _ in pieces:
                        if end == "left":
                            break

            task = asyncio.create_task(read())
            if end == "cancelled":
                await asyncio.sleep(1.25)
                task.cancel()
            await asyncio.wait({task})
            assert task.cancelled() == (end == "cancelled")
            if not task.cancelled():
                assert (task.exception() is not None) == (end == "broken")
            assert transport.closed == [1]


async def test_nobody_there_is_a_failure_that_may_pass():
    def refuse(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("refused", request=request)

    tries = []

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(refuse)) as http:
        for name in ("openai", "anthropic"):
            made = getattr(providers, name)("m", key="k", base_url="http://x", http=http)
            with pytest.raises(Exception) as raised:
                await made.answer(Request("hi"))
            tries.append(is_transient(raised.value))
            assert isinstance(raised.value.__cause__.__cause__, httpx2.ConnectError)
            assert str(raised.value) == "Connection error: refused"
    assert tries == [True, True]


@every
async def test_what_a_response_says_of_limits_is_kept_and_handed_on(name):
    twin = Twin(quota=Quota(requests_per_minute=60, tokens_per_minute=6000))
    heard = []
    async with on_twin(name, twin) as model:
        stop = model.provider.listen(lambda who, rates: heard.append((who, rates)))
        await model.ask("hi", max_tokens=100)
        async with model.stream("hi", max_tokens=100) as pieces:
            async for _ in pieces:
                pass
        kept = model.provider.rates
        stop()
        await model.ask("hi", max_tokens=100)
        assert model.provider.rates.requests.remaining < kept.requests.remaining
    assert [who for who, _ in heard] == [model.name] * 2
    first, second = (rates.requests for _, rates in heard)
    assert (first.limit, first.remaining) == (60, 59)
    assert second.remaining == 58
    assert 0 < first.reset <= 2.0
    assert heard[1][1].tokens.limit == 6000
    assert kept == heard[1][1]


@every
async def test_a_refusal_tells_of_limits_too(name):
    twin = Twin(quota=Quota(requests_per_minute=1))
    async with on_twin(name, twin, retry=Retry(attempts=2)) as model:
        await model.ask("one")
        assert (await model.ask("two")).text == "two"
        assert 59 <= now() <= 180
    assert [entry.status for entry in twin.ledger] == [200, 429, 200]


async def test_two_models_that_share_connections_hear_their_own_limits_only():
    twin = Twin(quota=Quota(requests_per_minute=60))
    async with twin.client() as http:
        given = {"key": "k", "base_url": "http://twin/v1", "http": http}
        one, two = (providers.openai(name, **given) for name in ("one", "two"))
        await asyncio.gather(*(made.answer(Request("hi")) for made in (one, one, two)))
    assert (one.rates.requests.remaining, two.rates.requests.remaining) == (58, 59)
