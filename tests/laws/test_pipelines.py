"""Laws 1 to 3 and 8 for pipelines: every start and end is the one that the rules allow first."""

import asyncio
from contextlib import contextmanager

from hypothesis import strategies as st

from fanwise.core import step
from fanwise.patterns import batch, pipeline, stage
from fanwise.patterns._batches import BatchStation
from fanwise.patterns._groups import GroupStation
from fanwise.patterns._line import Line
from fanwise.patterns._spreading import SpreadStation
from fanwise.patterns._stations import Station
from tests.laws.pipelines import Model, PlanOf, StageOf
from tests.laws.proving import ORDERS, changed, holds, now, rejects, virtually

LINGERS = st.none() | st.floats(0.05, 2.0)
BATCHES = st.none() | st.none() | st.tuples(st.integers(1, 4), LINGERS)
STAGES = st.builds(StageOf, st.integers(1, 3), st.integers(0, 3), BATCHES, st.booleans()).map(
    lambda it: StageOf(it.at_once, it.buffer, it.batch, it.spreads and it.batch is None)
)
PLANS = st.builds(
    PlanOf,
    seed=st.integers(0, 10_000),
    items=st.integers(0, 8),
    stages=st.lists(STAGES, min_size=1, max_size=4),
    failing=st.sampled_from([0.0, 0.0, 0.1, 0.3]),
    gap=st.sampled_from([0.0, 0.0, 1.5]),
)


class Seen:
    """What the bodies of one execution saw."""

    def __init__(self, plan):
        self.plan = plan
        self.starts = {}
        self.reads = []
        self.inside = [0] * len(plan.stages)
        self.most = [0] * len(plan.stages)

    def source(self):
        if self.plan.gap:
            return self.slowly()
        return (self.taken(number) for number in range(self.plan.items))

    async def slowly(self):
        for number in range(self.plan.items):
            await asyncio.sleep(self.plan.arrival(number))
            yield self.taken(number)

    def taken(self, number):
        assert number == len(self.reads)
        self.reads.append(now())
        return (number,)

    @contextmanager
    def within(self, number, key):
        """Note a start, and how many are inside the stage."""
        self.starts[number, key] = now()
        self.inside[number] += 1
        self.most[number] = max(self.most[number], self.inside[number])
        try:
            yield
        finally:
            self.inside[number] -= 1

    def parts(self):
        for number, what in enumerate(self.plan.stages):
            if what.batch is not None:
                yield batch(what.batch[0], linger=what.batch[1])
            body = self.spreading(number) if what.spreads else self.body(number, what.batch)
            yield stage(step(body), at_once=what.at_once, buffer=what.buffer)

    def body(self, number, gathers):
        async def work(value):
            key = (value,) if gathers is None else tuple(value)
            with self.within(number, key):
                await asyncio.sleep(self.plan.seconds(number, key))
                if self.plan.fails(number, key):
                    raise ValueError(key)
                return value

        return work

    def spreading(self, number):
        async def parts(value):
            with self.within(number, (value,)):
                for count in range(self.plan.spread(number, value)):
                    await asyncio.sleep(self.plan.seconds(number, (value, count)))
                    yield (*value, count)
                if self.plan.fails(number, (value,)):
                    raise ValueError((value,))

        return parts


def value_of(plan, item):
    """Give what comes of an item: itself, or its pieces in order."""
    pieces = [(item,)]
    for number, what in enumerate(plan.stages):
        if what.spreads:
            pieces = [(*it, n) for it in pieces for n in range(plan.spread(number, it))]
    return pieces if any(what.spreads for what in plan.stages) else pieces[0]


def begun(starts, model):
    """Leave out calls that were let go on the instant on which they began: no body may have run."""
    return {
        (stage, pieces): time
        for (stage, pieces), time in starts.items()
        if any(model.ends[piece[0]] != ("failed", time) for piece in pieces)
    }


async def outcomes_of(call, streamed):
    if not streamed:
        return list(await call)
    async with call.stream() as outcomes:
        return [outcome async for outcome in outcomes]


def run_of(plan, order, streamed, seen):
    @step
    async def main():
        return await outcomes_of(pipeline(seen.source(), *seen.parts()), streamed)

    return virtually(lambda runtime: runtime.run(main()), order=order)


def accounted(plan, outcomes, streamed):
    """Every item has one outcome, in order, with its own value; a failure is its own."""
    assert len(outcomes) == plan.items
    indices = [it.index for it in outcomes]
    assert sorted(indices) == list(range(plan.items))
    assert streamed or indices == sorted(indices)
    for outcome in outcomes:
        assert outcome.item == (outcome.index,)
        assert outcome.status == ("ok" if outcome.error is None else "failed")
        if outcome.status == "ok":
            assert outcome.value == value_of(plan, outcome.index)
        else:
            keys = outcome.error.args[0]
            assert outcome.item[0] in {key[0] if isinstance(key, tuple) else key for key in keys}


def as_simulated(plan, order, streamed):
    """The engine does what the rules do, when they do, and every item has the one right outcome."""
    seen = Seen(plan)
    outcomes = run_of(plan, order, streamed, seen)
    accounted(plan, outcomes, streamed)
    assert all(seen.most[n] <= it.at_once for n, it in enumerate(plan.stages))
    if plan.ambiguous:
        return
    model = Model(plan).run()
    assert begun(seen.starts, model) == begun(model.starts, model)
    assert {it.index: (it.status, it.ended) for it in outcomes} == model.ends
    assert seen.reads == model.reads


SIMULATED = {"plan": PLANS, "order": ORDERS, "streamed": st.just(False)}
STREAMED = SIMULATED | {"streamed": st.just(True)}


def test_pipelines_do_what_the_rules_allow_at_once():
    holds(as_simulated, **SIMULATED, examples=400)


def test_streams_of_pipelines_do_too():
    holds(as_simulated, **STREAMED, examples=100)


def rejected(*changes, **drawn):
    rejects(as_simulated, **(SIMULATED | drawn), mutant=changed(*changes))


def test_a_stage_that_waits_for_all_its_calls_is_rejected():
    plain = Station.refill

    def refill(self):
        if not self.live:
            plain(self)

    rejected((Station, "refill", refill))


def test_reading_ahead_is_rejected():
    def has_room(self):
        return self.free > 0 or len(self.queue) <= self.buffer

    def offer(self, piece):
        if self.free:
            self.start(piece)
        else:
            self.queue.append(piece)
        return True

    rejected((Station, "has_room", has_room), (Station, "offer", offer))


def test_a_stage_wider_than_it_should_be_is_rejected():
    plain = Station.__init__

    def init(self, line, step, at_once, buffer):
        plain(self, line, step, at_once + 1, buffer)

    rejected((Station, "__init__", init))


def test_a_buffer_that_gives_its_last_first_is_rejected():
    plain = Station.refill

    def refill(self):
        self.queue.reverse()
        plain(self)
        self.queue.reverse()

    rejected((Station, "refill", refill))


def test_values_that_stay_where_there_was_no_room_are_rejected():
    rejected((Station, "release", lambda self: None))


def test_places_that_are_lost_with_a_failure_are_rejected():
    plain = Line.fail

    def fail(self, item, call):
        plain(self, item, call)
        self.first.free -= 1

    rejected((Line, "fail", fail))


def test_pieces_in_the_order_of_their_arrival_are_rejected():
    def arrive(self, piece):
        item = piece.item
        item.values[len(item.values)] = piece.value
        self.close_part(item, piece.since)

    plans = PLANS.filter(lambda plan: any(it.spreads for it in plan.stages))
    rejected((Line, "arrive", arrive), plan=plans)


def test_a_stream_that_is_not_held_up_is_rejected():
    plain = GroupStation.hand_on

    def hand_on(self, group):
        if group.gone is None:
            plain(self, group)
            return
        room = self.next.buffer if self.next else 0
        if self.next:
            self.next.buffer = 1_000
        plain(self, group)
        if self.next:
            self.next.buffer = room

    rejected((GroupStation, "hand_on", hand_on))


def test_a_batch_that_does_not_linger_is_rejected():
    rejected((BatchStation, "_due", lambda self: bool(self.queue) and not self.line.reason))


def test_a_batch_that_lingers_for_ever_is_rejected():
    rejected((BatchStation, "_lingered", lambda self: None))


def test_a_last_batch_that_waits_for_more_is_rejected():
    rejected((BatchStation, "dry", lambda self: None))


def test_pieces_of_a_failed_item_that_go_on_are_rejected():
    rejected(
        (SpreadStation, "purge", lambda self, item: None),
        (Station, "purge", lambda self, item: None),
    )


def test_an_item_that_ends_twice_is_rejected():
    plain = Line.end

    def end(self, item, *rest):
        plain(self, item, *rest)
        item.over = False

    rejected((Line, "end", end))
