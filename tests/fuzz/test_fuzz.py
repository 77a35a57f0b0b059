"""A few thousand small random programs; `make fuzz` goes on for ever.

FANWISE_FUZZ_RUNS sets their number. Half of them come from a fixed seed, half from one that is
drawn anew and printed.
"""

import asyncio
import os
import random
import time

import pytest

from fanwise.core import Hedge, StreamCall, deadline
from fanwise.core._attempts import Execution
from fanwise.core._engine import drop, finish
from fanwise.core._limits import Width
from fanwise.core._timers import TimerQueue
from fanwise.core._watchers import Ending
from fanwise.patterns._flow import Flow
from fanwise.patterns._gathering import Gathering
from fanwise.patterns._line import Line
from fanwise.patterns._speculate import Speculation
from fanwise.patterns._vote import Poll
from tests.fuzz.programs import Act, First, Leaf, Program, Sub, draw, text_of
from tests.fuzz.runs import repeat, run_seed, shrunk
from tests.fuzz.world import cheap_collections, execute, silence
from tests.laws.proving import changed, replaced

RUNS = int(os.environ.get("FANWISE_FUZZ_RUNS", "2000"))
PATIENCE = 15.0  # seconds: a slow machine runs fewer programs, and says so


@pytest.fixture(autouse=True)
def quiet(never_blocks):
    silence()


def run_many(first, number):
    until = time.monotonic() + PATIENCE / 2
    with cheap_collections():
        for done in range(number):
            if time.monotonic() > until and "FANWISE_FUZZ_RUNS" not in os.environ:
                print(f"{done} of {number} programs in {PATIENCE / 2:g} s")
                return
            for failure in run_seed(first + done):
                program, problems = shrunk(failure, tries=300)
                story = "\n".join([*failure.problems, repeat(failure), text_of(program), *problems])
                pytest.fail(story, pytrace=False)


@pytest.mark.fuzz
@pytest.mark.timeout(0 if "FANWISE_FUZZ_RUNS" in os.environ else 20)
@pytest.mark.parametrize("start", ["fixed", "drawn"])
def test_random_programs_keep_every_promise(start):
    first = 0 if start == "fixed" else random.SystemRandom().randrange(10**9)
    print(f"seeds from {first} on")
    run_many(first, RUNS // 2)


def test_what_a_hedge_begins_is_not_looked_after_by_the_attempt_that_still_ends():
    """Found by the fuzzer, and shrunk: a call made under the one attempt, begun by the other."""
    race = First(3, [Leaf(5, [Act(delay=1.0)], {}), Leaf(7, [Act(delay=0.5)], {})], (0.75, 0.75))
    inner = Sub(2, [("leave", 0.5, race)], {})
    hedged = {"timeout": 0.5, "hedge": Hedge(after=0.5, more=2)}
    program = Program(Sub(1, [("timeout", 1.25, inner)], hedged), [(0.75, "cancel")])
    assert execute(program, 44995221, "shuffled") == []


def test_a_seed_gives_the_same_program_again():
    assert text_of(draw(7, 30)) == text_of(draw(7, 30))


# The fuzzer itself: engines that break a promise, and that it must find out.


def losing_rows(call, status):
    finish(call, status)
    rows = call.run.rows.open
    rows[:] = [row for row in rows if row[9] != "timed_out"]


def lenient_drop(call):
    call.dropped = True


async def deaf_turn(self):
    turn = asyncio.get_running_loop().create_future()
    self.waiting.append(turn)
    await turn


async def no_wait(self):
    return None


def keep_slots(self, attempt):
    if attempt.number == 1:
        GIVE(self, attempt)


def any_verdict(self, found):
    return None


def never_late(self, *args):
    return None


async def no_wait_at_all(self, *args):
    return None


def backwards(self):
    found = RESULT(self)
    found.outcomes.reverse()
    return found


def last_of_a_tie(self, statuses, *, early):
    found = VOTED(self, statuses, early=early)
    most = max(self.counts.values())
    last = max(index for index, ballot in self.ballots.items() if self.counts[ballot] == most)
    found.answer = self.calls[last].result
    return found


def any_guess(self, wanted):
    return 0


VOTED = Poll.result
GIVE, RESULT = Execution.give_slots, Flow.result
MUTANTS = {
    "rows of timeouts are lost": lambda: replaced(finish, losing_rows),
    "dropped calls are not cancelled": lambda: replaced(drop, lenient_drop),
    "a slot granted while cancelled is lost": lambda: changed((Width, "wait_turn", deaf_turn)),
    "ends are not awaited": lambda: changed((Ending, "wait", no_wait)),
    "slots of later attempts are kept": lambda: changed((Execution, "give_slots", keep_slots)),
    "need is not judged": lambda: changed((Gathering, "verdict", any_verdict)),
    "timers are never disarmed": lambda: changed((TimerQueue, "disarm", never_late)),
    "a map hands over backwards": lambda: changed((Flow, "result", backwards)),
    "a tie goes to the last voter": lambda: changed((Poll, "result", last_of_a_tie)),
    "any guess is the right one": lambda: changed((Speculation, "find", any_guess)),
    "a pipeline forgets what it let go": lambda: changed((Line, "end", never_late)),
    "a stream is left and goes on": lambda: changed((StreamCall, "__aexit__", no_wait_at_all)),
    "a block keeps its timer": lambda: changed((deadline, "__exit__", never_late)),
}


def found_by_the_fuzzer(mutant):
    """Find a program that fails with the mutant only."""
    for seed in range(400):
        with mutant():
            failed = run_seed(seed)
        if failed and not run_seed(seed):
            return True
    return False


@pytest.mark.parametrize("name", MUTANTS)
def test_the_fuzzer_rejects_an_engine_where(name):
    with cheap_collections():
        assert found_by_the_fuzzer(MUTANTS[name]), "the fuzzer is blind for it"
