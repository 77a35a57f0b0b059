"""Law 9 for the pace of a limit: how its width falls and rises, and how it opens.

It falls once a burst of failures, to seven tenths of what was in flight; it rises with successes, to the
width that is defined and no further. At its start, and after a pause, it opens evenly.
"""

import asyncio
from math import floor
from types import MappingProxyType

from hypothesis import strategies as st

from fanwise.core import Limit, step
from fanwise.core._limits import Width
from fanwise.core._pace import STEPS, Pace, Paced
from fanwise.core._quota import Quota
from fanwise.patterns import fan_out
from tests.laws.proving import ORDERS, changed, holds, now, outcome_of, rejects, ticks, virtually


class Overloaded(ConnectionError):
    status_code = 503


class TooMany(ConnectionError):
    status_code = 429

    def __init__(self, seconds):
        super().__init__("too many")
        self.headers = MappingProxyType({"retry-after": str(seconds)})


class Log:
    """What happened, in order: who was in flight when an attempt began and ended, and how."""

    def __init__(self):
        self.inside = 0
        self.began = {}
        self.clock = 0
        self.events = []

    def begin(self, number):
        self.inside += 1
        self.clock += 1
        self.began[number] = self.clock
        self.events.append(("began", now(), self.inside, self.clock, 0))

    def end(self, number, how, in_flight):
        """Take an end; also who is let in and has yet to begin is in flight."""
        self.clock += 1
        pending = in_flight - self.inside
        self.events.append((how, now(), in_flight, self.began[number], pending))
        self.inside -= 1

    def __repr__(self):
        return f"<Log of {len(self.events)}>"


# Seconds before it comes, seconds that it takes, how it ends.
ATTEMPT = st.tuples(ticks(0, 2), ticks(1, 12), st.sampled_from(["ok", "ok", "overloaded"]))
PROGRAM = {
    "attempts": st.lists(ATTEMPT, min_size=1, max_size=25),
    "width": st.integers(1, 12),
    "rate": st.booleans(),
    "order": ORDERS,
}


def falls_and_rises(attempts, width, rate, order):
    log, limits = Log(), []

    @step(limit="thing")
    async def job(number, seconds, end):
        log.begin(number)
        await asyncio.sleep(seconds)
        log.end(number, end, limits[0].gate.statistics().in_flight)
        if end == "overloaded":
            raise Overloaded

    @step
    async def main():
        tasks = []
        for number, (gap, seconds, end) in enumerate(attempts):
            await asyncio.sleep(gap)
            tasks.append(asyncio.ensure_future(job(number, seconds, end)))
        await asyncio.gather(*tasks, return_exceptions=True)

    @step
    async def calm(first, rounds):
        for turn in range(rounds):
            numbers = range(first + turn * width, first + (turn + 1) * width)
            await fan_out(*[job(number, 1.0, "ok") for number in numbers])

    async def program(runtime):
        limits.append(runtime.width("thing"))
        await runtime.run(main())
        found = runtime.statistics().limits[0]
        bursts, certain = check(log.events, width)
        assert certain <= found.falls <= bursts
        await runtime.run(calm(1000, 2 * (STEPS + width)))
        assert max(inside for how, _, inside, *_ in log.events if how == "began") <= width
        found = runtime.statistics().limits[0]
        assert found.width is None, "not open again"

    more = {"requests_per_minute": 1e6} if rate else {}
    limit = Limit(at_once=width, adaptive=True, **more)
    virtually(program, order=order, limits={"thing": limit})


def check(events, width):
    """See that nobody begins where it was too much, before enough went well; count the bursts."""
    bursts, fell, at, most, let_in, certain = 0, -1, -1.0, float(width), 0, False
    for order, (how, time, inside, began, pending) in enumerate(events, 1):
        if how == "overloaded" and (not bursts or (began > fell and time >= at + 1)):
            if not certain and inside > 1:  # a later one may find the width hardly used
                certain = True
                most, let_in = max(1.0, min(most, inside) * 0.7), pending
            bursts, fell, at = bursts + 1, order, time
        elif how == "ok":
            most = min(width, most + 1)  # at the most: it is a part of a round
        elif how == "began" and let_in:
            let_in -= 1
        elif how == "began":
            assert inside <= most, f"{inside} in flight, and the width fell to {most}"
    return bursts, certain


def test_width_holds():
    holds(falls_and_rises, **PROGRAM, examples=200)


def rejected(*changes):
    rejects(falls_and_rises, **PROGRAM, mutant=changed(*changes), examples=1000)


def test_width_rejects_one_that_never_falls():
    rejected((Pace, "overloaded", lambda self, epoch: None))


def test_width_rejects_a_fall_for_each_failure_of_a_burst():
    overloaded = Pace.overloaded
    rejected((Pace, "overloaded", lambda self, epoch: overloaded(self, self.epoch)))


def test_width_rejects_one_that_never_rises():
    rejected((Pace, "went_well", lambda self: None))


def test_width_rejects_one_that_is_back_with_the_first_success():
    def back(self):
        self.width = float("inf")
        self.is_open = True

    rejected((Pace, "went_well", back))


def test_width_rejects_one_that_rises_above_what_is_defined():
    wait = Pace.wait

    def wider(self):
        self._ceiling *= 2
        return wait(self)

    def unbounded(self, name, limit, loop, gates=None):
        plain(self, name, limit, loop, gates)
        self.gate._at_once *= 4

    plain = Quota.__init__
    rejected((Pace, "wait", wider), (Quota, "__init__", unbounded))


def test_width_rejects_ends_that_are_not_counted():
    release = Paced.release

    def forgets(self, number, /):
        self._pace.running += 1
        release(self, number)

    rejected((Paced, "release", forgets))


OPENING = {
    "width": st.integers(1, 40),
    "rate": st.sampled_from([None, 20, 600]),
    "seconds": st.sampled_from([1.0, 4.0, 10.0]),
    "paused": st.booleans(),
    "configured": st.booleans(),
    "order": ORDERS,
}


def opens_evenly(width, rate, seconds, paused, configured, order):
    """From one to the whole width in a ramp, or after a pause in as long as that was."""
    begun = []
    over = [0.0]

    @step(limit="thing")
    async def refused():
        over[0] = now() + 2.0
        raise TooMany(2)

    @step(limit="thing")
    async def job():
        begun.append(now())
        await asyncio.sleep(1000)

    @step
    async def main():
        if paused:
            await outcome_of(refused())
            await asyncio.sleep(1.0)
        calls = [job() for _ in range(width + 5)]
        tasks = [asyncio.ensure_future(call) for call in calls]
        await asyncio.wait(tasks, timeout=900)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    async def program(runtime):
        await runtime.run(main())
        span = seconds if configured else 2.0
        no_more_than_open([(time - over[0]) / span for time in begun], width, rate)
        if rate is None:  # nothing but the opening holds them back
            assert len(begun) == width
            no_less_than_open([(time - over[0]) / span for time in begun], width)

    if not paused and not configured:
        return
    limit = Limit(at_once=width, ramp=seconds if configured else 0.0,
                  adaptive=False, requests_per_minute=rate)  # fmt: skip
    if limit.rates or limit.ramp:
        virtually(program, order=order, limits={"thing": limit})


def no_more_than_open(begun, width, rate):
    """See that at each part of the opening that has passed no more began."""
    assert begun
    assert begun[0] >= 0, "somebody began in the pause"
    for count, passed in enumerate(begun):
        if passed < 1:
            assert count <= (width - 1) * passed + 1e-6, "more began than was open"
            if rate is not None:  # of a bucket that holds as many as a minute brings
                assert count <= rate * passed + 1 + 1e-6


def no_less_than_open(begun, width):
    for count, passed in enumerate(begun):
        due = 0.0 if width == 1 else count / (width - 1)
        assert passed <= due + 1e-6, "more was open than began"


def test_openings_hold():
    holds(opens_evenly, **OPENING, examples=150)


def opening_rejects(*changes):
    rejects(opens_evenly, **OPENING, mutant=changed(*changes), examples=500)


def test_openings_reject_a_herd_at_the_end_of_a_pause():
    opening_rejects((Pace, "reopen", lambda self, left, pause: None))


def test_openings_reject_a_start_without_a_ramp():
    opening_rejects((Pace, "_until_opened", lambda self: 0.0))


def test_openings_reject_one_that_forgets_the_buckets():
    opening_rejects((Pace, "let", lambda self, part: None))


def test_openings_reject_one_that_opens_only_when_somebody_ends():
    opened = Pace._until_opened

    def by_ends(self):
        wait = opened(self)
        return float("inf") if wait else 0.0

    opening_rejects((Pace, "_until_opened", by_ends))


WIDE = {"width": st.none() | st.integers(1, 40), "seconds": ticks(1, 40), "order": ORDERS}


def a_width_pauses_too(width, seconds, order):
    """A name without rates: nobody begins in a pause; then it opens in as long again."""
    begun = []

    @step(limit="thing")
    async def refused():
        raise TooMany(seconds)

    @step(limit="thing")
    async def job():
        begun.append(now())
        await asyncio.sleep(1000)

    @step
    async def main():
        running = asyncio.ensure_future(job())  # goes on in the pause
        await asyncio.sleep(0.25)
        if width != 1:
            await outcome_of(refused())
        calls = [job() for _ in range(30)]
        tasks = [running, *[asyncio.ensure_future(call) for call in calls]]
        await asyncio.wait(tasks, timeout=900)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    async def program(runtime):
        await runtime.run(main())
        if width == 1:
            return
        most = 2 if width is None else width
        assert len(begun) == (31 if width is None else min(31, width))
        for count, time in enumerate(begun[1:], 2):
            passed = (time - 0.25 - seconds) / seconds
            assert passed >= 0, "somebody began in the pause"
            if passed < 1 - 1e-9:
                allowed = 1 + floor(passed * most + 1e-9)
                assert count <= max(1, allowed), "a herd at the end of the pause"
        assert runtime.statistics().limits[0].width is None

    virtually(program, order=order, limits={"thing": Limit(at_once=width)})


def test_widths_pause():
    holds(a_width_pauses_too, **WIDE, examples=60)


def test_widths_reject_one_that_hears_no_429():
    mutant = changed((Width, "refused", lambda *_: None))
    rejects(a_width_pauses_too, **WIDE, mutant=mutant)


def test_widths_reject_a_herd():
    def all_at_once(self, step, most, seconds):
        self._handle = None
        self.at_once = self.full
        while self.waiting and (self.at_once is None or self.used < self.at_once):
            self.used += 1
            self.give()

    rejects(a_width_pauses_too, **WIDE, mutant=changed((Width, "_open", all_at_once)))


def test_widths_reject_slots_that_are_handed_on_in_a_pause():
    def hands_on(self):
        while self.waiting:
            turn = self.waiting.popleft()
            if not turn.done():
                self.granted += 1
                turn.set_result(None)
                return
        self.used -= 1

    begun = []

    def not_in_the_pause(seconds):
        begun.clear()

        @step(limit="thing")
        async def job(number):
            begun.append(now())
            await asyncio.sleep(0.25 * (1 + number))
            if number == 0:
                raise TooMany(seconds)

        @step
        async def main():
            await fan_out(*[job(number) for number in range(6)], need=0)

        async def program(runtime):
            await runtime.run(main())
            assert not [time for time in begun if 0.25 <= time < 0.25 + seconds]

        virtually(program, limits={"thing": Limit(at_once=2)})

    holds(not_in_the_pause, seconds=ticks(4, 8))
    rejects(not_in_the_pause, seconds=ticks(4, 8), mutant=changed((Width, "give", hands_on)))
