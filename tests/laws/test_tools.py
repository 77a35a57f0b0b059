"""The laws of `run_tools`: a result for every call, reads at once, writes after the message."""

import asyncio
import itertools

from hypothesis import strategies as st

from fanwise import step
from fanwise.models import ToolCall
from fanwise.models.tools import Tool, run_tools
from fanwise.models.tools import _run_tools as running
from fanwise.models.tools import _toolwork as toolwork
from fanwise.models.tools._toolwork import ToolWork
from tests.laws.proving import ORDERS, changed, holds, now, rejects, replaced, ticks, virtually
from tests.models.tools.scripted import end, says, written

# Which tool, a value that tells calls apart, how long it takes, how long the model takes to ask.
KINDS = st.sampled_from(["reads", "reads", "writes", "fails", "unknown", "broken"])
CALL = st.tuples(KINDS, st.integers(0, 1), ticks(0, 4), ticks(0, 3))
MESSAGE = {
    "message": st.lists(CALL, max_size=8),
    "tail": ticks(0, 4),
    "cut": st.booleans(),
    "order": ORDERS,
}


def asked(place, kind, value, seconds):
    if kind == "broken":
        return ToolCall(f"id-{place}", "reads", broken='{"value": ')
    return ToolCall(f"id-{place}", kind, {"value": value, "seconds": seconds})


def tools(log):
    async def act(kind, value, seconds):
        log.append((now(), kind, value, seconds))
        await asyncio.sleep(seconds)
        if kind == "fails":
            raise OSError("broken")
        return value

    @step
    async def reads(value: int, seconds: float) -> int:
        return await act("reads", value, seconds)

    @step(effect="write")
    async def writes(value: int, seconds: float) -> int:
        return await act("writes", value, seconds)

    @step
    async def fails(value: int, seconds: float) -> int:
        return await act("fails", value, seconds)

    return [reads, writes, fails]


def expected(message, tail, cut):
    """Give when each call starts (None: never), whether it fails, and when all has ended."""
    complete = list(itertools.accumulate(gap for *_, gap in message))
    over = (complete[-1] if complete else 0.0) + tail
    begun, failed, seen, ends = [], [], set(), [over]
    for (kind, value, seconds, _), instant in zip(message, complete, strict=True):
        starts = {"writes": None if cut else over, "unknown": None, "broken": None}
        start = starts.get(kind, instant)
        if kind in ("reads", "fails") and (kind, value, seconds) in seen:
            start = None  # that of the identical one before it
        seen.add((kind, value, seconds))
        if start is not None:
            begun.append((start, kind, value, seconds))
            ends.append(start + seconds)
        failed.append(kind in ("fails", "unknown", "broken") or (kind == "writes" and cut))
    return begun, failed, max(ends)


def streamed(message, tail, *last):
    lines = []
    for place, (kind, value, seconds, gap) in enumerate(message):
        call = asked(place, kind, value, seconds)
        lines += [gap, *written(place, call)]
        if call.broken:
            lines[-3:] = [type(lines[-1])(place, call.broken)]
    return says(*lines, tail, *last).stream("?")


def held(message, tail, cut, order):
    begun, failed, ends = expected(message, tail, cut)
    log = []

    async def program(runtime):
        stream = streamed(message, tail, end("length" if cut else "tools"))
        turn = await runtime.run(run_tools(stream, tools(log), failures=None))
        assert sorted(log) == sorted(begun)
        assert now() == ends
        assert [result.id for result in turn.results] == [f"id-{n}" for n in range(len(message))]
        assert [result.failed for result in turn.results] == failed
        texts = [result.text for result in turn.results if not result.failed]
        values = [str(m[1]) for m, bad in zip(message, failed, strict=True) if not bad]
        assert texts == values
        once = {row.call for row in runtime.runs[-1].record().calls}
        assert len(once) == len(runtime.runs[-1].record().calls) == len(begun) + 2

    virtually(program, order=order)


def broken(message, tail, cut, order):
    """A stream that breaks: what runs is cancelled then, and no write ever starts."""
    log = []
    complete = sum(gap for *_, gap in message)

    async def program(runtime):
        stream = streamed(message, tail, ConnectionError("gone"))
        try:
            await runtime.run(run_tools(stream, tools(log), failures=None))
        except ConnectionError:
            assert now() == complete + tail
        else:
            raise AssertionError("a broken stream was taken for a message")
        assert all(kind != "writes" for _, kind, *_ in log)
        for row in runtime.runs[-1].record().calls:
            assert row.end <= (complete + tail) * 1_000_000
            assert row.status != "ok" or row.step in {"reads", "fails"}

    virtually(program, order=order)


def bounded(message, at_once, order):
    """With `at_once`, never more at the same time, and every call still has its result."""
    most = busy = 0

    @step
    async def reads(value: int, seconds: float) -> int:
        nonlocal most, busy
        busy += 1
        most = max(most, busy)
        await asyncio.sleep(seconds)
        busy -= 1
        return value

    async def program(runtime):
        calls = [asked(n, "reads", n, seconds) for n, (*_, seconds) in enumerate(message)]
        turn = await runtime.run(run_tools(calls, [reads], at_once=at_once))
        assert [result.text for result in turn.results] == [str(n) for n in range(len(message))]
        assert most == min(at_once, len(message))

    virtually(program, order=order)


class Unlike:
    """Finds no two calls alike."""

    count = itertools.count()

    @classmethod
    def dumps(cls, *_, **__):
        return str(next(cls.count))


def backwards(call, work, answer, real=running.gather):
    turn = real(call, work, answer)
    return running.Turn(turn.results[::-1], answer=answer)


def let_all_go(self, refusal=None, real=ToolWork.release):
    real(self)


async def writes_first(self, why, real=ToolWork.let_go):
    self.release()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await real(self, why)


def too_many(self, real=ToolWork.fill):
    self.at_once = None if self.at_once is None else self.at_once + 1
    real(self)


def test_every_call_has_its_result_and_starts_when_it_may():
    holds(held, **MESSAGE)


def test_reads_that_wait_for_the_end_are_caught():
    mutant = changed((Tool, "effect", property(lambda _: "write")))
    rejects(held, mutant=mutant, **MESSAGE)


def test_writes_that_do_not_wait_are_caught():
    mutant = changed((Tool, "effect", property(lambda _: "read")))
    rejects(held, mutant=mutant, **MESSAGE)


def test_writes_of_a_message_that_was_cut_are_caught():
    rejects(held, mutant=changed((ToolWork, "release", let_all_go)), **MESSAGE)


def test_identical_reads_that_run_twice_are_caught():
    rejects(held, mutant=changed((toolwork, "json", Unlike)), **MESSAGE)


def test_results_in_another_order_are_caught():
    rejects(held, mutant=replaced(running.gather, backwards), **MESSAGE)


def test_a_message_that_breaks_off_does_nothing_to_the_world():
    holds(broken, **MESSAGE)


def test_writes_after_a_message_that_broke_off_are_caught():
    rejects(broken, mutant=changed((ToolWork, "let_go", writes_first)), **MESSAGE)


BOUNDED = {"message": st.lists(CALL, min_size=1), "at_once": st.integers(1, 4), "order": ORDERS}


def test_a_bound_is_kept():
    holds(bounded, **BOUNDED)


def test_one_too_many_is_caught():
    rejects(bounded, mutant=changed((ToolWork, "fill", too_many)), **BOUNDED)
