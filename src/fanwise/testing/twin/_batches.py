"""Batches: many requests handed over at once, whose answers come when the clock says so.

What has become of each request is a function of the time alone, so a batch needs no task that
works it off: it is worked off as far as its time has come whenever somebody asks after it, in
an order that is drawn from the twin's seed and is never that of the requests.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from fanwise.testing.twin._values import Json, is_number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fanwise.testing.twin._engine import Twin
    from fanwise.testing.twin._turn import Turn
    from fanwise.testing.twin._values import Ask, Reply

Fate: TypeAlias = Literal["processing", "done", "cancelled", "expired"]
DAY: Final = 86_400.0
_TURN: Final = 64
"""Requests of a batch after which others run."""


@dataclass(frozen=True, slots=True)
class BatchPace:
    """How long batches take, in seconds.

    The first answer is there after `first`, each further one after `each` more; `closing` is
    what checking the input, writing the output, and a cancellation take. What is not answered
    after `window` has expired.
    """

    first: float = 60.0
    each: float = 1.0
    closing: float = 1.0
    window: float = DAY

    def __post_init__(self) -> None:
        """Refuse times that are none."""
        for name in ("first", "each", "closing", "window"):
            value = getattr(self, name)
            if not (is_number(value) and 0 <= value < math.inf):
                raise ValueError(f"{name}={value!r}: seconds, 0 or more")


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """One request of a batch, and the name under which its result is found."""

    custom_id: str
    params: Json


Answer: TypeAlias = Callable[[BatchRequest, float], Awaitable[Json]]
"""Answers a request of a batch, at an instant that has passed."""


@dataclass(slots=True)
class Job:
    """A batch. Times are those of the loop's clock; `wall` is `created` in seconds since 1970.

    `told` is what the provider's own form of it says besides.
    """

    id: str
    created: float
    wall: float
    requests: tuple[BatchRequest, ...]
    pace: BatchPace
    order: Sequence[int]
    key: str = ""
    cancelled: float | None = None
    results: dict[int, Json] = field(default_factory=dict)
    told: Json = field(default_factory=dict)
    working: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def stop(self) -> float:
        """The instant after which no request is answered: cancellation or the window's end."""
        end = self.created + self.pace.window
        return end if self.cancelled is None else min(self.cancelled, end)

    @property
    def last(self) -> float:
        """The instant at which the last answer is there, where nothing comes between."""
        rest = max(0, len(self.requests) - 1) * self.pace.each
        return self.created + self.pace.first + rest

    @property
    def ends(self) -> float:
        """The instant at which the results are there."""
        return min(self.last, self.stop) + self.pace.closing

    def ended(self, now: float) -> bool:
        """Whether the results are there."""
        return now >= self.ends

    def was_cancelled(self) -> bool:
        """Whether a cancellation came before the last answer and before the window's end."""
        return self.cancelled is not None and self.cancelled <= min(self.last, self.stop)

    def fate(self, index: int, now: float) -> Fate:
        """Tell what has become of a request."""
        if index in self.results:
            return "done"
        if now < self.stop:
            return "processing"
        return "cancelled" if self.was_cancelled() else "expired"

    def count(self, fate: Fate, now: float) -> int:
        """Count the requests with a fate."""
        return sum(self.fate(index, now) == fate for index in range(len(self.requests)))

    def cancel(self, now: float) -> None:
        """Stop it, where it still runs; a second time changes nothing."""
        if self.cancelled is None and now < min(self.last, self.stop):
            self.cancelled = now

    def at(self, instant: float) -> float:
        """Give an instant of the loop's clock in seconds since 1970."""
        return self.wall + instant - self.created

    async def work(self, now: float, answer: Answer) -> None:
        """Answer the requests whose time has come; callers at once wait for each other."""
        async with self.working:
            for rank, index in enumerate(self.order):
                done = self.created + self.pace.first + rank * self.pace.each
                if done > min(now, self.stop):
                    break
                if index not in self.results:
                    self.results[index] = await answer(self.requests[index], done)
                    if rank % _TURN == 0:
                        await asyncio.sleep(0)


async def ask_in_batch(twin: Twin, ask: Ask, done: float) -> tuple[Turn, Reply]:
    """Answer one question of a batch as if at the instant `done`; raises Refused.

    It is charged like any other, at the price of batches.
    """
    turn = await twin.begin(replace(ask, batch=True, stream=False))
    reply = await turn.whole()
    turn.entry.time = turn.entry.ended_at = done
    return turn, reply


def draw_order(length: int, seed: str) -> tuple[int, ...]:
    """Draw the order in which requests are answered: any but that of the requests."""
    order = list(range(length))
    random.Random(seed).shuffle(order)
    if order == sorted(order):
        order.reverse()
    return tuple(order)
