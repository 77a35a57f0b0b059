"""The laws of `speculate`, against a model: its value, its end, what ran, what stands in its rows."""

import asyncio
from dataclasses import astuple

from hypothesis import strategies as st

from fanwise.core import step
from fanwise.core._guesses import Guesses
from fanwise.core._scope import READS_ONLY
from fanwise.core._watch import leave
from fanwise.patterns import _speculate as module
from fanwise.patterns import speculate
from fanwise.patterns._speculate import Speculation
from tests.laws.proving import (
    ORDERS,
    changed,
    holds,
    now,
    outcome_of,
    rejects,
    ticks,
    virtually,
)

QUERIES = "abc"
# How it ends as a guess, how long it takes, how long a cancellation takes.
GUESS = st.tuples(st.sampled_from(["fine", "fine", "fails"]), ticks(1, 6), ticks(0, 3))
PROGRAM = {
    "planner": st.tuples(st.sampled_from(["fine", "fine", "fine", "fails"]), ticks(0, 6)),
    "guesses": st.dictionaries(st.sampled_from(QUERIES), GUESS, min_size=1),
    "wanted": st.sampled_from([*QUERIES, None]),
    "real": st.tuples(st.sampled_from(["fine", "fine", "fails"]), ticks(1, 6)),
    "at_once": st.sampled_from([None, None, 1, 2]),
    "order": ORDERS,
}


def expected(planner, guesses, wanted, real, at_once):
    """Give the value ("error" for a failure), the instant of the end, and what the rows say."""
    how, decided = planner
    sent = list(guesses)[: None if at_once is None else at_once - 1] if decided else []
    facts = {"wasted": len(sent)}

    def cleaned(kept=None):
        left = [q for q in sent if q != kept and guesses[q][1] > decided]
        return decided + max((guesses[q][2] for q in left), default=0.0)

    if how == "fails":
        return "error", cleaned(), facts | {"closed": "planner failed"}
    if wanted is None:
        return None, cleaned(), facts | {"closed": "no call"}
    value = "error" if real[0] == "fails" else ("real", wanted)
    if wanted not in guesses:
        return value, max(cleaned(), decided + real[1]), facts | {"closed": "other call"}
    if wanted not in sent:
        return value, max(cleaned(), decided + real[1]), facts | {"closed": "not sent"}
    facts |= {"joined": list(guesses).index(wanted)}
    ends = max(decided, guesses[wanted][1])
    if guesses[wanted][0] == "fine":
        facts |= {"closed": "joined", "wasted": len(sent) - 1}
        return ("guess", wanted), max(cleaned(wanted), ends), facts
    return value, max(cleaned(wanted), ends + real[1]), facts | {"closed": "guess failed"}


def speculated(planner, guesses, wanted, real, at_once, order):
    began = {}
    writable = {}

    @step
    async def plan():
        if planner[1]:  # else it is done at its first step
            await asyncio.sleep(planner[1])
        if planner[0] == "fails":
            raise OSError
        return wanted

    @step
    async def work(query):
        # The calls of one query: the first is the guess, unless none was sent before the decision.
        guess = query in guesses and now() < planner[1] and query not in began
        began.setdefault(query, []).append(now())
        writable.setdefault(guess, set()).add(READS_ONLY.get() is None)
        how, seconds = guesses[query][:2] if guess else real
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            await asyncio.sleep(guesses[query][2])
            raise
        if how == "fails":
            raise OSError
        return "guess" if guess else "real", query

    value, ends, facts = expected(planner, guesses, wanted, real, at_once)

    async def program(runtime):
        @step
        async def main():
            found = await outcome_of(
                speculate(
                    plan(),
                    lambda query: None if query is None else work(query),
                    guess=[work(query) for query in guesses],
                )
            )
            assert ("error" if isinstance(found, OSError) else found) == value
            assert now() == ends
            assert runtime.running == 1, "a guess outlived its speculation"

        await runtime.run(main())
        rows = runtime.runs[-1].record().calls
        (mine,) = [row for row in rows if row.pattern is not None]
        assert dict(mine.facts) == facts
        assert sum(map(len, began.values())) == sum(row.step == "work" for row in rows)
        assert writable.get(True, {False}) == {False}, "a guess may write"
        assert writable.get(False, {True}) == {True}, "the call that is wanted may not write"
        guessed = [row for row in rows if "guess" in row.facts]
        assert len(guessed) == facts["wasted"] + (facts["closed"] == "joined")
        cases = facts["closed"] not in ("planner failed", "other") and bool(guessed)
        counted = runtime.statistics().guesses
        assert [astuple(each)[1:] for each in counted] == [
            (1, facts["closed"] == "joined", facts["closed"] == "guess failed", len(guessed))
        ] * cases

    plan_of_it = None if at_once is None else {"main/speculate": {"at_once": at_once}}
    virtually(program, order=order, plan=plan_of_it)


def rejected(mutant):
    rejects(speculated, **PROGRAM, mutant=mutant)


def test_speculations_are_as_said():
    holds(speculated, **PROGRAM, examples=600)


def test_the_law_rejects_a_race():
    """A guess that is done first must decide nothing."""
    find = Speculation.find

    def done_first(self, wanted):
        done = [place for place in self.sent if self.calls[place].status == "ok"]
        return done[0] if done else find(self, wanted)

    rejected(changed((Speculation, "find", done_first)))


def test_the_law_rejects_a_guess_that_is_never_joined():
    rejected(changed((Speculation, "find", lambda self, wanted: None)))


def test_the_law_rejects_steps_that_are_compared_by_name_alone():
    def by_name(self, wanted):
        names = [each.step.name for each in self.asked]
        return names.index(wanted.step.name) if wanted.step.name in names else None

    rejected(changed((Speculation, "find", by_name)))


def test_the_law_rejects_a_failed_guess_whose_error_is_given():
    async def join(self, place, guess, wanted):
        self.closed = "joined"
        self.joined = place
        self.count()
        return await self.value(guess)

    rejected(changed((Speculation, "join", join)))


def test_the_law_rejects_guesses_that_start_after_the_planner():
    plan = Speculation.plan

    async def in_a_row(self, at_once):
        return await plan(self, 1)

    rejected(changed((Speculation, "plan", in_a_row)))


def test_the_law_rejects_a_plan_that_is_not_heeded():
    plan = Speculation.plan

    async def all_of_them(self, at_once):
        return await plan(self, None)

    rejected(changed((Speculation, "plan", all_of_them)))


def test_the_law_rejects_wrong_guesses_that_are_left_until_the_end():
    let_go = Speculation.let_go

    def late(self, **at_the_decision):
        if not at_the_decision:
            let_go(self)

    rejected(changed((Speculation, "let_go", late)))


def test_the_law_rejects_guesses_that_are_left_running():
    rejected(changed((module, "leave", lambda call, watcher: False)))


def test_the_law_rejects_cancelling_without_awaiting():
    def unawaited(call, watcher):
        leave(call, watcher)
        return False

    rejected(changed((module, "leave", unawaited)))


def test_the_law_rejects_a_call_that_waits_for_the_end_of_wrong_guesses():
    answer = Speculation.answer

    async def waits(self, wanted):
        place = None if wanted is None else self.find(wanted)
        self.let_go(but=None if place is None else self.calls[place])
        await self.ending.wait()
        return await answer(self, wanted)

    rejected(changed((Speculation, "answer", waits)))


def test_the_law_rejects_guesses_that_may_write():
    def send(self, place, call):
        self.start(call)
        self.sent[place] = True
        module.note(call, guess=place)

    rejected(changed((Speculation, "send", send)))


def test_the_law_rejects_calls_that_inherit_the_bar_of_their_guesses():
    send = Speculation.send

    def bars(self, place, call):
        send(self, place, call)
        READS_ONLY.set("a guess")

    rejected(changed((Speculation, "send", bars)))


def test_the_law_rejects_waste_that_is_not_told():
    note = module.note

    def thrifty(call, **facts):
        note(call, **{**facts, "wasted": 0} if "wasted" in facts else facts)

    rejected(changed((module, "note", thrifty)))


def test_the_law_rejects_guesses_that_are_not_counted():
    rejected(changed((Guesses, "count", lambda self, name, sent, **_: None)))
