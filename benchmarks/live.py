"""A `fan_map` with the live view of the command line beside it, against the same without."""

from __future__ import annotations

import asyncio
import fcntl
import os
import struct
import sys
import termios
import threading
from contextlib import contextmanager, redirect_stderr
from typing import TYPE_CHECKING
from unittest import mock

from benchmarks._figure import Figure
from benchmarks._measure import Rounds, Scale, Span, alternate
from benchmarks._record import check_run
from benchmarks.maps import AT_ONCE, ITEMS, nap_step
from fanwise import Runtime, fan_map, step
from fanwise.cli._view import View

if TYPE_CHECKING:
    from collections.abc import Iterator

# One map takes a quarter of a second, and so does a frame: several are drawn beside four of them.
IN_A_ROW = 4
FEWEST_FRAMES = 2
ROWS, COLUMNS = 50, 200
IN_A_FRAME = b"steps "


def viewed(scale: Scale) -> Iterator[Figure]:
    """Measure the wall; the view's own opening and closing counts."""
    items = scale.of(ITEMS, AT_ONCE)
    frames: list[int] = []
    rounds = asyncio.run(_rounds(scale, items, frames))
    if items == ITEMS and min(frames) < FEWEST_FRAMES:
        raise AssertionError(f"the view drew {min(frames)} frames: nothing was measured")
    spent = rounds.ratio("processor").median
    note = f"{min(frames)} to {max(frames)} frames each; processor time {spent:.2f} x"
    what = f"live view beside fan_map {items:,} x 1 ms"
    yield Figure(what, rounds.ratio("wall"), 1.1, "the same without the view", note=note)


async def _rounds(scale: Scale, items: int, frames: list[int]) -> Rounds:
    async def without() -> Span:
        with View("benchmark", quiet=True) as view:
            return await _mapped(items, view)

    async def with_it() -> Span:
        with _terminal() as seen, View("benchmark") as view:
            span = await _mapped(items, view)
        frames.append(seen.count(IN_A_FRAME))
        return span

    return await alternate(scale, without, with_it)


async def _mapped(items: int, view: View) -> Span:
    @step
    async def program() -> None:
        for _ in range(IN_A_ROW):
            found = await fan_map(nap_step, range(items), at_once=AT_ONCE)
            assert len(found.values()) == items

    async with Runtime() as runtime:
        with Span() as span:
            run = runtime.start(program())
            with view.of(run):
                await run.wait()
        check_run(run, {"program": 1, "nap": IN_A_ROW * items})
    return span


@contextmanager
def _terminal() -> Iterator[bytearray]:
    """Put standard error on a terminal that somebody reads; give what was read."""
    ours, its = os.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    seen = bytearray()
    reader = threading.Thread(target=_drain, args=(ours, seen))
    reader.start()
    environment = {"TERM": "xterm-256color", "CI": "", "NO_COLOR": ""}
    with (
        os.fdopen(its, "w", encoding="utf-8", buffering=1) as stream,
        mock.patch.dict(os.environ, environment),
        redirect_stderr(stream),
    ):
        yield seen
        sys.stderr.flush()
    reader.join()
    os.close(ours)


def _drain(ours: int, seen: bytearray) -> None:
    try:
        while data := os.read(ours, 65536):
            seen += data
    except OSError:  # the other end is closed: so Linux says it
        return
