"""The laws for streams, on programs whose times lie on a grid so that things share an instant.

Accounted for (1): one row, every generator closed when its reader has left. Order, nothing lost
and nothing twice (2, 4): what is read is how one attempt began, item by item. Nothing again in
silence (5): no attempt begins after the first item. Deadlines (7): no item comes later than its
bound. Bounded (8): at most one item is made ahead of what the reader asked for.
"""

import asyncio
from dataclasses import dataclass, field

from hypothesis import strategies as st

from fanwise.core import FanwiseError, Hedge, Retry, Stream, StreamCall, Timeout, current, step
from fanwise.core import _items as items_module
from fanwise.core._hedging import Hedging
from fanwise.core._items import Intake, interrupt_item
from tests.laws.proving import (
    ORDERS,
    changed,
    holds,
    now,
    outcome_of,
    rejects,
    replaced,
    ticks,
    virtually,
)

ENDS = st.sampled_from(["ends", "ends", "fails", "breaks"])
ATTEMPT = st.tuples(st.lists(ticks(0, 4), max_size=4), ticks(0, 3), ENDS)
PROGRAM = {
    "attempts": st.lists(ATTEMPT, min_size=1, max_size=3),
    "bounds": st.tuples(st.none() | ticks(6, 12), st.none() | ticks(1, 4), st.none() | ticks(1, 4)),
    "retry": st.none() | st.integers(2, 3),
    "hedge": st.none() | st.tuples(ticks(0, 3), st.integers(1, 2)),
    "pauses": st.lists(ticks(0, 4), max_size=6),
    "patience": st.none() | ticks(1, 3),
    "most": st.none() | st.integers(1, 4),
    "cancel_at": st.none() | ticks(0, 10),
    "cleanup": st.tuples(ticks(0, 1), st.sampled_from([False, False, False, True])),
    "order": ORDERS,
}


@dataclass
class Seen:
    """What generators and reader saw. An item is (attempt, place)."""

    opened: int = 0
    closed: int = 0
    began: dict[int, float] = field(default_factory=dict)
    made: dict[tuple[int, int], tuple[float, float]] = field(default_factory=dict)  # asked, made
    taken: list[tuple[int, int]] = field(default_factory=list)
    asked: int = 0
    opened_at_first: int | None = None
    ahead: int = 0
    ended: bool = False
    broke: BaseException | None = None


def policy_of(bounds, retry, hedge):
    return {
        "timeout": None if bounds == (None,) * 3 else Timeout(*bounds),
        "retry": None if retry is None else Retry(attempts=retry, shortest=0, longest=0),
        "hedge": None if hedge is None else Hedge(*hedge),
    }


def stream_of(seen, attempts, policy, cleanup=(0, False)):
    """A stream that plays its attempts, each: the wait for each item, the last wait, the end."""
    cleaning, swallows = cleanup

    @step(**policy)
    async def stream():
        me = current().attempt
        waits, last, end = attempts[min(me, len(attempts)) - 1]
        seen.opened += 1
        seen.began[me] = now()
        try:
            for place, wait in enumerate([*waits, last]):
                asked = now()
                try:
                    await asyncio.sleep(wait)
                except asyncio.CancelledError:
                    if not swallows:
                        raise
                if place < len(waits):
                    seen.made[me, place] = asked, now()
                    seen.ahead = max(seen.ahead, place + 1 - seen.asked)
                    yield (me, place)
            if end != "ends":
                raise ConnectionError if end == "fails" else KeyError
        finally:
            try:
                await asyncio.sleep(cleaning)
            finally:
                seen.closed += 1

    return stream


async def read(seen, call, pauses, most, patience):
    """Read with a pause after each item; wait for each no longer than `patience`, again and again."""
    async with call as items:
        while len(seen.taken) != most:
            seen.asked = len(seen.taken) + 1
            try:
                async with asyncio.timeout(patience):
                    item = await anext(items)
            except TimeoutError as error:
                if isinstance(error, FanwiseError):
                    raise
                continue
            except StopAsyncIteration:
                seen.ended = True
                return
            if not seen.taken:
                seen.opened_at_first = seen.opened
            seen.taken.append(item)
            if pauses:
                await asyncio.sleep(pauses[len(seen.taken) % len(pauses)])


def run_reader(seen, stream, reading, cancel_at, order):
    """Run `reading(call)`, cancelled at some time, and give the row of the call."""

    @step
    async def main():
        task = asyncio.ensure_future(reading(stream()))
        if cancel_at is not None:
            await asyncio.wait([task], timeout=cancel_at)
            task.cancel()
        await asyncio.wait([task])
        assert seen.opened == seen.closed, "a generator was open when its reader had left"
        if not task.cancelled():
            seen.broke = task.exception()

    async def body(runtime):
        await runtime.run(main())
        rows = [row for row in runtime.runs[-1].record().calls if row.step == stream.name]
        assert len(rows) <= 1
        return rows[0] if rows else None

    return virtually(body, order=order)


def read_streams(
    *, attempts, bounds, retry, hedge, pauses, most, patience, cancel_at, cleanup, order
):
    """Whatever happens to a stream that is read."""
    seen = Seen()
    stream = stream_of(seen, attempts, policy_of(bounds, retry, hedge), cleanup)
    row = run_reader(
        seen, stream, lambda it: read(seen, it, pauses, most, patience), cancel_at, order
    )
    assert_in_order(seen, attempts)
    assert seen.ahead <= 1, "made ahead of what its reader asked for"
    assert_in_time(seen, *bounds)
    if seen.taken:
        assert seen.opened == seen.opened_at_first, "begun after the first item"
    if row is not None:
        given = row.facts.get("items", 0)
        assert len(seen.taken) <= given <= seen.asked + 1
        assert not seen.ended or (row.status, given) == ("ok", len(seen.taken))
        closing = len(seen.taken) == most and row.status == "cancelled"  # it failed of being closed
        assert seen.broke is None or closing or row.status in ("failed", "timed_out")


def assert_in_order(seen, attempts):
    """What was taken is how one attempt begins; all of it, where the stream came to its end."""
    if not seen.taken:
        return
    winner = seen.taken[0][0]
    assert seen.taken == [(winner, place) for place in range(len(seen.taken))], "mixed up"
    waits, _, end = attempts[min(winner, len(attempts)) - 1]
    assert not seen.ended or (len(seen.taken), end) == (len(waits), "ends"), "items are lost"


def assert_in_time(seen, attempt, first, idle):
    for me, place in seen.taken:
        asked, made = seen.made[me, place]
        since = made - (asked if place else seen.began[me])
        bound = idle if place else first
        assert bound is None or since <= bound, "an item came later than its bound"
        assert attempt is None or made - seen.began[me] <= attempt


def test_the_laws_hold_for_streams_that_are_read():
    holds(read_streams, **PROGRAM, examples=200)


def never_full(self, item):
    self._items.append(item)
    self.begun = True
    self._wake()
    return True


async def stays(self, *_):
    return None


def no_race(self, attempt):
    self.chosen = attempt
    return True


def forgets_idle(self):
    CHOOSE(self)
    self.queue = None


def forgets_the_end(self):
    if self.given < 2:
        COUNT(self)


async def closes_nothing(call, source):
    return None


async def takes_before_it_gives(self):
    item = await ANEXT(self)
    await asyncio.sleep(1 / 4)  # a reader that is cancelled here has lost it
    return item


ANEXT, CHOOSE, COUNT = Stream.__anext__, Intake.choose, Intake.count


def test_the_laws_reject_items_made_far_ahead():
    rejects(read_streams, **PROGRAM, mutant=changed((Stream, "offer", never_full)))


def test_the_laws_reject_attempts_after_the_first_item():
    unbegun = property(lambda self: False, lambda self, value: None)
    rejects(read_streams, **PROGRAM, mutant=changed((Stream, "begun", unbegun)))


def test_the_laws_reject_a_race_that_the_first_item_does_not_decide():
    rejects(read_streams, **PROGRAM, mutant=changed((Hedging, "choose", no_race)))


def test_the_laws_reject_a_stream_without_an_idle_bound():
    rejects(read_streams, **PROGRAM, mutant=changed((Intake, "choose", forgets_idle)))


def test_the_laws_reject_a_block_that_leaves_its_generator_running():
    rejects(read_streams, **PROGRAM, mutant=changed((StreamCall, "__aexit__", stays)))


def test_the_laws_reject_a_generator_that_nobody_closes():
    mutant = replaced(items_module.close, closes_nothing)
    rejects(read_streams, **PROGRAM, mutant=mutant)


def test_the_laws_reject_a_row_that_miscounts():
    rejects(read_streams, **PROGRAM, mutant=changed((Intake, "count", forgets_the_end)))


def test_the_laws_reject_a_reader_that_loses_items():
    rejects(read_streams, **PROGRAM, mutant=changed((Stream, "__anext__", takes_before_it_gives)))


# Lists, against a model that knows nothing of tasks. Waits lie on the grid and bounds beside it, so
# that no two things share an instant.

BESIDE = st.integers(1, 12).map(lambda n: n / 4 + 1 / 8)


def sorted_out(bounds):
    """The bounds of items are at most the attempt's."""
    attempt, *items = bounds
    return (None if attempt is None else max(attempt, *[it or 0 for it in items]), *items)


LISTS = {
    "attempts": st.lists(ATTEMPT, min_size=1, max_size=4),
    "bounds": st.tuples(*[st.none() | BESIDE] * 3).map(sorted_out),
    "retry": st.none() | st.integers(2, 4),
    "order": ORDERS,
}


def modelled(attempts, bounds, retry):
    """Say what awaiting the stream gives, and when: items of the attempt, or how it ended."""
    attempt, first, idle = [float("inf") if b is None else b for b in bounds]
    time, number = 0.0, 0
    while True:
        number += 1
        waits, last, end = attempts[min(number, len(attempts)) - 1]
        spent, items = 0.0, 0
        for place, wait in enumerate([*waits, last]):
            ends = min(attempt, spent + (idle if items else first))
            if spent + wait > ends:
                spent, end = ends, "slow"
                break
            spent += wait
            items += place < len(waits)
        time += spent
        if end in ("ends", "breaks") or number >= (retry or 1):
            return end, [(number, place) for place in range(items)], time


def awaited_lists(attempts, bounds, retry, order):
    """A stream that is awaited does what the model says, at the time that it says."""
    seen = Seen()
    stream = stream_of(seen, attempts, policy_of(bounds, retry, None))
    end, items, time = modelled(attempts, bounds, retry)
    kinds = {"fails": ConnectionError, "breaks": KeyError, "slow": FanwiseError}

    async def body(runtime):
        try:
            found = await outcome_of(runtime.run(stream()))
        except KeyError as error:
            found = error
        assert found == items if end == "ends" else isinstance(found, kinds[end])
        assert now() == time, f"ended at {now()}, expected {time}"
        assert seen.opened == seen.closed

    virtually(body, order=order)


def test_awaited_streams_do_what_the_model_says():
    holds(awaited_lists, **LISTS, examples=150)


def never_slow(attempt):
    return None


def test_the_model_rejects_bounds_that_never_strike():
    rejects(awaited_lists, **LISTS, mutant=replaced(interrupt_item, never_slow))


def test_the_model_rejects_a_list_that_keeps_what_failed():
    rejects(awaited_lists, **LISTS, mutant=changed((Intake, "__init__", shared_list())))


def shared_list():
    """An intake whose list goes on where the attempt before it stopped."""
    lists = {}
    plain = Intake.__init__

    def init(self, call, attempt):
        plain(self, call, attempt)
        self.kept = lists.setdefault(call, self.kept)

    return init
