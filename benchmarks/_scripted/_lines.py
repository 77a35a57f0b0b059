"""Runs in which short calls wait for a few long ones, and runs with lines of other kinds."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from benchmarks._scripted._run import arrivals
from fanwise import Limit, fan_map, step
from fanwise.testing import faults

if TYPE_CHECKING:
    from fanwise.core import Call

Made = tuple["Call[Any]", dict[str, Any]]
Length = Callable[[], float]


def _asks(length: Length, source: Callable[[], Any], **policy: Any) -> Call[Any]:
    @step(name="ask", limit="gpt", **policy)
    async def ask(_: int) -> None:
        await asyncio.sleep(length())

    @step(name="main")
    async def main() -> None:
        await fan_map(ask, source(), at_once=2000, need=0)

    return main()


def _mixed(draw: random.Random, share: float, long: float) -> Length:
    """Give lengths about 0.2 s, of which a share is so many times as long."""
    return lambda: draw.uniform(0.15, 0.25) * (long if draw.random() < share else 1)


def _limit(width: int) -> dict[str, Any]:
    return {"limits": {"gpt": Limit(at_once=width)}}


def reports_among_chats(draw: random.Random) -> Made:
    """Requests come all the time; one in thirty is a report of half a minute."""
    length = _mixed(draw, 0.03, draw.uniform(100, 200))
    return _asks(length, lambda: arrivals(draw, 5.0, 60.0)), _limit(draw.randint(2, 4))


def one_place_and_one_long_call(draw: random.Random) -> Made:
    """A single place, and somewhere among the calls one that takes long."""
    lengths = [0.1] * draw.randint(60, 100)
    lengths[draw.randint(1, 20)] = draw.uniform(20, 40)
    turns = iter(lengths)
    return _asks(lambda: next(turns), lambda: range(len(lengths))), _limit(1)


def hangs_until_its_time_is_over(draw: random.Random) -> Made:
    """A few calls hang until their time limit, and keep their places meanwhile."""
    script = faults.Script(ask=faults.hangs().only(share=0.06), seed=draw.randrange(1000))
    call = _asks(_mixed(draw, 0, 1), lambda: range(draw.randint(150, 300)), timeout=30.0)
    return call, {"body": script, **_limit(draw.randint(2, 4))}


def long_ones_first(draw: random.Random) -> Made:
    """The long ones stand at the head of the line, as many as there are places."""
    width = draw.randint(2, 5)
    lengths = [draw.uniform(20, 40) for _ in range(width)] + [0.2] * draw.randint(80, 120)
    turns = iter(lengths)
    return _asks(lambda: next(turns), lambda: range(len(lengths))), _limit(width)


def a_wave_with_giants(draw: random.Random) -> Made:
    """All at once, a few of them a hundred times as long."""
    length = _mixed(draw, 0.04, draw.uniform(80, 150))
    return _asks(length, lambda: range(draw.randint(200, 400))), _limit(draw.randint(3, 8))


def a_planned_wave(draw: random.Random) -> Made:
    """A long line of equal calls."""
    length = _mixed(draw, 0, 1)
    return _asks(length, lambda: range(draw.randint(200, 600))), _limit(draw.randint(1, 8))


def room_beside_the_long_ones(draw: random.Random) -> Made:
    """A few calls take long, and there are places enough for the others."""
    length = _mixed(draw, 0.03, draw.uniform(50, 100))
    return _asks(length, lambda: arrivals(draw, 5.0, 60.0)), _limit(draw.randint(50, 100))


def as_many_long_as_short(draw: random.Random) -> Made:
    """A third of the calls takes long: that is what the work is like."""
    length = _mixed(draw, 0.33, draw.uniform(15, 30))
    return _asks(length, lambda: range(draw.randint(100, 200))), _limit(draw.randint(2, 8))


def lengths_as_of_models(draw: random.Random) -> Made:
    """Log-normal lengths, as those of answers, behind a limit that is too narrow."""
    call = _asks(lambda: draw.lognormvariate(-1.5, 0.8), lambda: range(draw.randint(200, 500)))
    return call, _limit(draw.randint(2, 6))


def long_ones_that_take_their_part(draw: random.Random) -> Made:
    """Too much work, and a quarter of it in a few calls of twelve times the length."""
    length = _mixed(draw, 0.025, 12.0)
    return _asks(length, lambda: range(draw.randint(300, 600))), _limit(draw.randint(2, 6))


BEHIND = (
    reports_among_chats, one_place_and_one_long_call, hangs_until_its_time_is_over,
    long_ones_first, a_wave_with_giants,
)  # fmt: skip
IN_TURN = (
    a_planned_wave, room_beside_the_long_ones, as_many_long_as_short, lengths_as_of_models,
    long_ones_that_take_their_part,
)  # fmt: skip
