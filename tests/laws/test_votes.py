"""The laws of `vote`, against a model of it: who is asked when, what is counted, when it ends."""

import asyncio
from collections import Counter

from hypothesis import strategies as st

from fanwise.core import FanIn, NotEnough, step
from fanwise.core._watch import leave
from fanwise.patterns import _contest as contest
from fanwise.patterns import vote
from fanwise.patterns._agreement import agreed
from fanwise.patterns._vote import Poll
from tests.laws.proving import (
    ORDERS,
    changed,
    holds,
    now,
    rejects,
    replaced,
    ticks,
    virtually,
)

# An answer (`None` fails), how long it takes, how long a cancellation takes.
VOTER = st.tuples(st.sampled_from(["a", "a", "a", "b", "c", None]), ticks(1, 4), ticks(0, 2))
PROGRAM = {
    "voters": st.lists(VOTER, min_size=1, max_size=14),
    "wave": st.none() | st.integers(1, 5),
    "stop_at": st.sampled_from([None, 0.5, 0.7, 0.9, 0.95]),
    "order": ORDERS,
}


def met(counts, stop_at):
    """The rule by its definition: the chance of at most `leader` heads in so many throws."""
    leader, runner_up = [*sorted(counts.values(), reverse=True), 0][:2]
    throws = leader + runner_up + 1
    row = [1]
    for _ in range(throws):
        row = [a + b for a, b in zip([0, *row], [*row, 0], strict=True)]
    return stop_at is not None and sum(row[: leader + 1]) / 2**throws >= stop_at


def expected(voters, wave, stop_at):
    """Give the statuses, the counts, and the instant of the end; wave after wave."""
    statuses = ["skipped"] * len(voters)
    counts, begun = Counter(), 0.0
    for first in range(0, len(voters), wave or len(voters)):
        members = range(first, min(first + (wave or len(voters)), len(voters)))
        for instant in sorted({voters[i][1] for i in members}):
            ended = [i for i in members if voters[i][1] == instant]
            for i in ended:
                statuses[i] = "failed" if voters[i][0] is None else "ok"
            counts.update(voters[i][0] for i in ended if voters[i][0] is not None)
            if counts and met(counts, stop_at):
                left = [i for i in members if voters[i][1] > instant]
                for i in left:
                    statuses[i] = "cancelled"
                cleaning = max((voters[i][2] for i in left), default=0.0)
                return statuses, counts, begun + instant + cleaning
        begun += max(voters[i][1] for i in members)
    return statuses, counts, begun


def held(voters, wave, stop_at, order):
    @step
    async def voter(answer, seconds, cleaning):
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            await asyncio.sleep(cleaning)
            raise
        if answer is None:
            raise OSError
        return answer

    statuses, counts, ends = expected(voters, wave, stop_at)

    async def program(runtime):
        @step
        async def main():
            try:
                found = await vote([voter(*each) for each in voters], wave=wave, stop_at=stop_at)
            except NotEnough as error:
                assert not counts
                check_branches(error.found, voters, statuses)
            else:
                check_vote(found, voters, statuses, counts)
            assert now() == ends
            assert runtime.running == 1, "a voter outlived its vote"

        await runtime.run(main())
        rows = Counter(row.status for row in runtime.runs[-1].record().calls if row.step == "voter")
        assert rows == Counter(status for status in statuses if status != "skipped")

    virtually(program, order=order)


def check_branches(found, voters, statuses):
    assert [each.status for each in found] == statuses
    assert found.values() == [
        answer for (answer, *_), status in zip(voters, statuses, strict=True) if status == "ok"
    ]


def check_vote(found, voters, statuses, counts):
    check_branches(found.found, voters, statuses)
    assert found.counts == counts
    most = max(counts.values())
    leaders = [each for each in counts if counts[each] == most]
    first = next(
        a for (a, *_), s in zip(voters, statuses, strict=True) if s == "ok" and a in leaders
    )
    assert found.answer == first
    assert found.tied == (len(leaders) > 1)
    assert found.share == most / counts.total()
    assert found.asked == len(voters) - statuses.count("skipped")
    assert found.stopped_early == bool({"skipped", "cancelled"} & {*statuses})
    assert bool(found.warning) == (found.share <= 0.5)


def rejected(mutant):
    rejects(held, **PROGRAM, mutant=mutant, broken=AssertionError)


def test_votes_are_held_as_said():
    holds(held, **PROGRAM, examples=300)


def test_the_law_rejects_a_rule_that_is_met_too_late():
    def late(leader, runner_up, stop_at):
        return agreed(leader - 1, runner_up, stop_at)

    rejected(replaced(agreed, late))


def test_the_law_rejects_a_rule_that_is_met_too_early():
    def early(leader, runner_up, stop_at):
        return agreed(leader + 1, runner_up, stop_at)

    rejected(replaced(agreed, early))


def test_the_law_rejects_a_rule_that_forgets_the_runner_up():
    def alone(leader, runner_up, stop_at):
        return agreed(leader, 0, stop_at)

    rejected(replaced(agreed, alone))


def test_the_law_rejects_judging_only_at_the_end_of_a_wave():
    def call_ended(self, call):
        self.hear(call)
        if not self.running:
            self.wake()

    rejected(changed((Poll, "call_ended", call_ended)))


def test_the_law_rejects_asking_everybody_at_once():
    hold = Poll.hold

    async def at_once(self, wave):
        await hold(self, None)

    rejected(changed((Poll, "hold", at_once)))


def test_the_law_rejects_waves_that_do_not_wait_for_each_other():
    def call_ended(self, call):
        self.hear(call)
        if self.next < len(self.calls):
            self.ask_next()
        if not self.running or self.decided():
            self.wake()

    rejected(changed((Poll, "call_ended", call_ended)))


def test_the_law_rejects_ties_by_arrival():
    result = Poll.result

    def by_arrival(self, statuses, *, early):
        found = result(self, statuses, early=early)
        most = max(self.counts.values())
        found.answer = next(it for it in self.ballots.values() if self.counts[it] == most)
        return found

    rejected(changed((Poll, "result", by_arrival)))


def test_the_law_rejects_outcomes_by_arrival():
    def by_arrival(self):
        return iter(sorted(self.outcomes, key=lambda it: it.ended or 0.0))

    rejected(changed((FanIn, "__iter__", by_arrival)))


def test_the_law_rejects_failures_that_count():
    hear = Poll.hear

    def counting(self, call):
        hear(self, call)
        if call.status == "failed":
            self.counts["failed"] = self.counts.get("failed", 0) + 1

    rejected(changed((Poll, "hear", counting)))


def test_the_law_rejects_voters_that_are_left_running():
    def stays(call, watcher):
        return False

    rejected(changed((contest, "leave", stays)))


def test_the_law_rejects_cancelling_without_awaiting():
    def unawaited(call, watcher):
        leave(call, watcher)
        return False

    rejected(changed((contest, "leave", unawaited)))
