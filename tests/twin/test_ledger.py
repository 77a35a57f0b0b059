"""The ledger is what was sent: random programs of calls, streams, cancels and faults."""

import asyncio
from contextlib import suppress
from decimal import Decimal

import openai
import pytest
from hypothesis import strategies as st

from fanwise.testing import run_virtual
from fanwise.testing.twin import Fault, Law, Price, Quota, Twin
from fanwise.testing.twin._turn import Turn
from tests.laws.proving import changed, holds, rejects
from tests.twin.talk import now, openai_on, said

PRICE = Price("3", "15")
# How each request is made: length of the text, streamed or not, left after so many seconds.
REQUEST = st.tuples(
    st.integers(1, 120),
    st.booleans(),
    st.one_of(st.none(), st.integers(1, 30).map(lambda n: n / 8)),
)


async def one(client, length, stream, patience, seen):
    """Make a request, and keep what came of it: its answer, or the characters that arrived."""
    text = "x" * length
    seen.append(0)
    place = len(seen) - 1
    made = await client.chat.completions.create(model="m", messages=said(text), stream=stream)
    if stream:
        async for chunk in made:
            seen[place] += len(chunk.choices[0].delta.content or "")
    else:
        seen[place] = len(made.choices[0].message.content)


async def program(requests, limit):
    quota = None if limit is None else Quota(requests_per_minute=limit, burst_s=30)
    faults = [Fault("reset", nth=[3, 4], after=2), Fault("status", nth=6, status=529)]
    law = Law(first=0.5, per_second=8)
    twin = Twin({"m": law}, quota=quota, faults=faults, prices={"m": PRICE})
    seen, ends = [], []
    async with openai_on(twin) as client:
        for length, stream, patience in requests:
            task = asyncio.create_task(one(client, length, stream, patience, seen))
            await asyncio.wait({task}, timeout=patience)
            task.cancel()
            with suppress(asyncio.CancelledError, openai.APIError, Exception):
                await task
            ends.append(now())
    return twin, seen, ends


def law_ledger_is_what_was_sent(requests, limit):
    twin, seen, ends = run_virtual(program(requests, limit))
    assert len(twin.ledger) == len(requests)
    total = Decimal(0)
    for entry, (length, stream, _), got, end in zip(twin.ledger, requests, seen, ends, strict=True):
        assert entry.ended_at is not None
        assert entry.ended_at <= end
        assert entry.stream == stream
        if entry.status >= 400:
            assert (entry.counts.tokens_in, entry.cost, got) == (0, None, 0)
            continue
        whole = -(-length // 4)
        assert entry.counts.tokens_in == whole
        if entry.finish is not None:
            assert (got, entry.counts.tokens_out) == (length, whole)
            assert not entry.closed
        elif stream:
            # What was sent is what came, but for the token that was on its way.
            assert -(-got // 4) <= entry.counts.tokens_out <= -(-got // 4) + 1
        else:
            assert got == 0
            seconds = entry.ended_at - entry.time
            assert entry.counts.tokens_out <= max(0, (seconds - 0.5) * 8 + 1 + 1e-6)
        counts = entry.counts
        cost = Decimal(3 * counts.tokens_in + 15 * counts.tokens_out) / 1_000_000
        assert entry.cost == cost
        total += cost
    known = twin.statistics()
    assert (known.cost, known.requests, known.running) == (total, len(requests), 0)
    assert known.counts.tokens_out == sum(entry.counts.tokens_out for entry in twin.ledger)


PROGRAM = st.lists(REQUEST, min_size=1, max_size=8), st.sampled_from([None, 6.0, 60.0])


def test_every_request_is_charged_for_what_was_sent_and_nothing_else():
    holds(law_ledger_is_what_was_sent, *PROGRAM, examples=40)


def always_whole(self):
    return self._tokens


def never_cancelled(self):
    return 0


@pytest.mark.parametrize("mutant", [always_whole, never_cancelled])
def test_a_ledger_that_charges_otherwise_is_found(mutant):
    rejects(law_ledger_is_what_was_sent, *PROGRAM, mutant=changed((Turn, "_made", mutant)))


async def test_without_a_price_the_cost_is_unknown_and_not_nothing():
    twin = Twin(prices={"other": PRICE})
    async with openai_on(twin) as client:
        await client.chat.completions.create(model="m", messages=said("hello"))
    assert twin.ledger[0].cost is None
    assert twin.statistics().unpriced == 1
    assert twin.ledger.cost == 0


async def test_what_still_runs_is_told_as_running():
    twin = Twin({"m": Law(first=5)})
    async with openai_on(twin) as client:
        call = asyncio.create_task(client.chat.completions.create(model="m", messages=said("x")))
        await asyncio.sleep(1)
        assert twin.statistics().running == 1
        await call
    assert twin.statistics().running == 0
    assert twin.statistics().statuses == {200: 1}


async def test_what_is_over_can_be_taken_out_and_numbers_go_on():
    twin = Twin({"m": Law(first=5)}, prices={"m": PRICE})
    async with openai_on(twin) as client:

        async def ask():
            found = await client.chat.completions.create(model="m", messages=said("hello"))
            return found.id

        first = await ask()
        running = asyncio.create_task(ask())
        await asyncio.sleep(1)
        paid = twin.ledger.cost
        over = twin.ledger.take()
        assert [entry.number for entry in over] == [1]
        assert sum(entry.cost for entry in over) == paid > 0
        assert (len(twin.ledger), twin.statistics().running, twin.ledger.cost) == (1, 1, 0)
        second, third = await running, await ask()
        assert [entry.number for entry in twin.ledger.take()] == [2, 3]
        assert len({first, second, third}) == 3
        assert (len(twin.ledger), twin.ledger.take()) == (0, [])
