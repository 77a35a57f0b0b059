"""A step that blocks its loop is named while it does, with file and line.

The steps here block until the watch has told of them, however long a busy machine needs for that.
"""

import asyncio
import gc
import os
import threading
import time
import warnings
import weakref
from contextlib import contextmanager

import pytest

from fanwise import Runtime, fan_out, step
from fanwise.core import Call, watch
from fanwise.core._blocking import LoopWatch
from fanwise.errors import LoopBlocked

pytestmark = [
    pytest.mark.real_clock,
    pytest.mark.blocks_the_loop,
    pytest.mark.blocking_ok,  # the repository's own rule, for the same
]
PATIENCE = 15


@contextmanager
def told():
    """Give an event that is set, and a list that is filled, when the watch warns."""
    heard = threading.Event()
    texts = []

    def show(message, category, filename, lineno, *_):
        texts.append((str(message), category, filename, lineno))
        heard.set()

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = show
        yield heard, texts


def line_of(function, text):
    """The number of the line of a function's source that holds the text."""
    start = function.__code__.co_firstlineno
    with open(__file__, encoding="utf-8") as source:
        lines = source.read().splitlines()
    return next(n for n, line in enumerate(lines[start - 1 :], start) if text in line)


async def test_a_blocking_step_is_named_with_its_file_and_line_while_it_blocks():
    @step
    async def waits_for_a_lock(heard):
        heard.wait(PATIENCE)

    with told() as (heard, texts):
        async with Runtime() as runtime:
            await runtime.run(waits_for_a_lock(heard))
        (run,) = runtime.runs
    text, category, filename, line = texts[0]
    assert category is LoopBlocked
    assert f"step {waits_for_a_lock.name!r} blocks the event loop at" in text
    assert "plain `def`" in text
    assert (filename, line) == (__file__, line_of(waits_for_a_lock.function, "heard.wait"))
    (row,) = [row for row in run.record().calls if row.step.endswith("waits_for_a_lock")]
    assert row.facts["blocked_at"] == f"{filename}:{line}"
    assert row.facts["blocked"] >= 50_000


async def test_a_step_that_computes_is_named_where_the_users_own_code_stands():
    def computes(heard):
        end = time.monotonic() + PATIENCE
        while not heard.is_set() and time.monotonic() < end:
            os.path.normpath("a/../b")

    @step
    async def parse(heard):
        await asyncio.sleep(0)
        computes(heard)

    with told() as (heard, texts):
        async with Runtime() as runtime:
            await runtime.run(parse(heard))
    assert texts[0][2] == __file__
    assert texts[0][3] in range(
        computes.__code__.co_firstlineno, computes.__code__.co_firstlineno + 4
    )


async def test_a_place_is_told_once_and_each_block_is_kept():
    @step
    async def blocks(heard):
        heard.wait(PATIENCE)

    async with Runtime() as runtime:
        with told() as (heard, first):
            await runtime.run(blocks(heard))
        with told() as (_, second):
            await runtime.run(blocks(Seen(runtime.blocked)))
    assert [place for _, _, *place in first] == [[__file__, line_of(blocks.function, "heard.wait")]]
    # The innermost line of the user's is then in `Seen`: another place, told of once too.
    assert [filename for _, _, filename, _ in second] == [__file__] * len(second)
    assert [block.step for block in runtime.watch.found] == [blocks.name] * 2


async def test_a_block_that_goes_on_elsewhere_is_told_of_once():
    @step
    async def blocks(heard, found):
        heard.wait(PATIENCE)
        before = found[-1].seconds
        end = time.monotonic() + PATIENCE
        while found[-1].seconds < before + 0.1 and time.monotonic() < end:
            os.path.normpath("a/../b")

    with told() as (heard, texts):
        async with Runtime() as runtime:
            await runtime.run(blocks(heard, runtime.watch.found))
    assert len(texts) == 1
    (block,) = runtime.watch.found
    assert block.seconds >= 0.15


class Seen:
    """Waits, in the loop, until something is noted."""

    def __init__(self, noted):
        self.noted = noted

    def wait(self, seconds):
        end = time.monotonic() + seconds
        while not self.noted and time.monotonic() < end:
            os.path.normpath("a/../b")


async def test_a_warning_that_is_made_an_error_breaks_nothing(capsys):
    noted = {}

    @step
    async def blocks():
        Seen(noted).wait(PATIENCE)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        async with Runtime() as runtime:
            noted = runtime.blocked
            await runtime.run(blocks())
            thread = runtime.watch.thread
            assert thread.is_alive() or runtime.watch.over
    await asyncio.get_running_loop().run_in_executor(None, thread.join, PATIENCE)
    assert not thread.is_alive()
    assert "LoopBlocked: step" in capsys.readouterr().err


async def test_what_gets_on_is_never_told_of():
    @step
    async def polite(i):
        for _ in range(50):
            await asyncio.sleep(0)
        return i

    with told() as (_, texts):
        async with Runtime() as runtime:
            await runtime.run(fan_out(*[polite(i) for i in range(20)]))
            assert [block for block in runtime.watch.found if block.kind == "step"] == []
    assert [text for text in texts if "step 'polite'" in text[0]] == []


async def test_the_thread_rests_while_no_run_is_live_and_ends_with_the_last_runtime():
    loop = asyncio.get_running_loop()
    async with Runtime() as outer:
        async with Runtime() as inner:
            assert inner.watch is outer.watch is watch(loop)
            thread = inner.watch.thread
        assert thread.is_alive()
    await loop.run_in_executor(None, thread.join, PATIENCE)
    assert not thread.is_alive()
    assert watch(loop).thread is not thread
    watch(loop).stop()


async def test_debugging_lifts_the_watch(monkeypatch):
    monkeypatch.setenv("FANWISE_DEBUG", "1")
    async with Runtime() as runtime:
        assert runtime.watch is None


def test_a_loop_that_is_closed_ends_its_thread():
    @step
    async def one():
        return 1

    async def main():
        await one()
        return watch(asyncio.get_running_loop()).thread

    thread = asyncio.run(main())
    gc.collect()  # the thread keeps no loop alive
    thread.join(PATIENCE)
    assert not thread.is_alive()


async def test_the_watch_may_look_while_the_call_of_an_item_is_made():
    """Its thread reads what the loop is about to write: the call lives, and has no task yet."""
    item, looks = Call.__new__(Call), LoopWatch.__new__(LoopWatch)
    item.scope, item.status = None, "ok"
    async with Runtime() as runtime:
        looks.runtimes = {weakref.ref(runtime)}

        @step
        async def main():
            (run,) = runtime.live
            kept, run.root.live = run.root.live, {item: None, **run.root.live}
            found = looks._call_of(asyncio.current_task())
            run.root.live = kept
            assert found is not None
            assert found.step.name.endswith("main")

        await main()
