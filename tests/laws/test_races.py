"""The laws of `first`, against a model of a race: who starts when, who wins, when it ends."""

import asyncio
from collections import Counter

from hypothesis import strategies as st

from fanwise.core import NotEnough, step
from fanwise.core._watch import leave
from fanwise.patterns import _contest as contest
from fanwise.patterns import first
from fanwise.patterns._first import Race
from tests.laws.proving import ORDERS, changed, holds, now, rejects, ticks, virtually

# How it ends, how long it takes, how long a cancellation takes, how long after the one before.
RUNNER = st.tuples(
    st.sampled_from(["fine", "fine", "poor", "fails"]), ticks(1, 6), ticks(0, 2), ticks(0, 3)
)
PROGRAM = {
    "runners": st.lists(RUNNER, min_size=1, max_size=6),
    "staggered": st.booleans(),
    "choosy": st.booleans(),
    "order": ORDERS,
}


def offsets_of(runners, staggered):
    """Give the start of each runner; off the grid, so that no start falls on an end."""
    found, offset = [], 0.0
    for index, (*_, later) in enumerate(runners):
        offset += later + 1 / 64 if index else 0.0
        found.append(offset if staggered else 0.0)
    return found


def expected(runners, offsets, choosy):
    """Give the winner, if any, the instant of the end, and the instant at which each started."""
    good = {"fine"} if choosy else {"fine", "poor"}
    started, instant = {}, 0.0
    while True:
        ends = {i: started[i] + runners[i][1] for i in started}
        winners = [i for i in ends if ends[i] == instant and runners[i][0] in good]
        if winners:
            left = [i for i in ends if ends[i] > instant]
            cleaning = max((runners[i][2] for i in left), default=0.0)
            return min(winners), instant + cleaning, started
        waiting = [i for i in range(len(runners)) if i not in started]
        running = [i for i in ends if ends[i] > instant]
        if not running and not waiting:
            return None, instant, started
        due = [i for i in waiting if offsets[i] <= instant] or waiting[: not running]
        started |= dict.fromkeys(due, instant)
        ahead = [started[i] + runners[i][1] for i in started] + [offsets[i] for i in waiting]
        instant = min(each for each in ahead if each > instant)


def raced(runners, staggered, choosy, order):
    begun = {}

    @step
    async def runner(index):
        begun[index] = now()
        how, seconds, cleaning, _ = runners[index]
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            await asyncio.sleep(cleaning)
            raise
        if how == "fails":
            raise OSError
        return how, index

    def accept(value):
        return value[0] == "fine"

    offsets = offsets_of(runners, staggered)
    winner, ends, started = expected(runners, offsets, choosy)

    async def program(runtime):
        @step
        async def main():
            calls = [runner(index) for index in range(len(runners))]
            race = first(
                *calls,
                stagger=offsets if staggered else None,
                accept=accept if choosy else None,
            )
            try:
                _, index = await race
            except NotEnough as error:
                assert winner is None
                check_found(error.found, runners)
            else:
                assert index == winner
            assert now() == ends
            assert begun == started
            assert runtime.running == 1, "a loser outlived its race"

        await runtime.run(main())
        rows = Counter(row.step for row in runtime.runs[-1].record().calls)
        assert rows["runner"] == len(started)

    virtually(program, order=order)


def check_found(found, runners):
    """Nobody won: each says why not, and what it gave is not lost."""
    assert [each.status for each in found] == ["failed"] * len(runners)
    for outcome, (how, *_) in zip(found, runners, strict=True):
        assert isinstance(outcome.error, OSError if how == "fails" else ValueError)
        assert outcome.late == (None if how == "fails" else (how, outcome.index))


def rejected(mutant):
    rejects(raced, **PROGRAM, mutant=mutant, broken=AssertionError)


def test_races_are_run_as_said():
    holds(raced, **PROGRAM, examples=300)


def test_the_law_rejects_a_race_without_stagger():
    start = Race.start

    def at_once(self, stagger):
        start(self, None)

    rejected(changed((Race, "start", at_once)))


def test_the_law_rejects_a_race_that_brings_nobody_forward():
    def wait(self):
        over = self.next == len(self.calls) and not self.running
        if self.winner is not None or over:
            self.wake()

    rejected(changed((Race, "_start_if_idle", wait)))


def test_the_law_rejects_a_race_that_takes_anything():
    hear = Race.hear

    def careless(self, call):
        self.accept = None
        hear(self, call)

    rejected(changed((Race, "hear", careless)))


def test_the_law_rejects_values_that_are_lost_when_nobody_wins():
    found = Race.found

    def forgetful(self, statuses, why=""):
        given = found(self, statuses, why)
        for outcome in given:
            outcome.late = None
        return given

    rejected(changed((Race, "found", forgetful)))


def test_the_law_rejects_losers_that_are_left_running():
    def stays(call, watcher):
        return False

    rejected(changed((contest, "leave", stays)))


def test_the_law_rejects_cancelling_without_awaiting():
    def unawaited(call, watcher):
        leave(call, watcher)
        return False

    rejected(changed((contest, "leave", unawaited)))
