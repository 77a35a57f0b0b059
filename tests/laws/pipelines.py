"""A pipeline, simulated by rules: what may happen does, until nothing may; then time goes on.

It shares nothing with the engine: no calls, no callbacks, only lists and a clock. Durations are drawn
so that no two events fall on one instant by chance; then every start has one right time.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from math import inf
from typing import Any


@dataclass
class StageOf:
    """A stage as drawn. `batch` is (size, linger) or None; `spreads` makes its step a stream."""

    at_once: int
    buffer: int
    batch: tuple[int, float | None] | None = None
    spreads: bool = False

    @property
    def room(self) -> int:
        return self.buffer if self.batch is None else self.batch[0] * (1 + self.buffer)


@dataclass
class PlanOf:
    """What a pipeline does, by seed: durations, failures and numbers of pieces are functions of it."""

    seed: int
    items: int
    stages: list[StageOf]
    failing: float = 0.0
    gap: float = 0.0  # between items of the source, at most

    @property
    def ambiguous(self) -> bool:
        """Whether an item may fail on the instant on which a piece of it lets a batch be cut."""
        spread = any(it.spreads for it in self.stages)
        return self.failing > 0 and spread and any(it.batch for it in self.stages)

    def _random(self, *place: Any) -> random.Random:
        return random.Random(repr((self.seed, *place)))

    def seconds(self, stage: int, pieces: tuple[Any, ...]) -> float:
        return self._random("s", stage, pieces).uniform(0.1, 3.0)

    def fails(self, stage: int, pieces: tuple[Any, ...]) -> bool:
        return self._random("f", stage, pieces).random() < self.failing

    def spread(self, stage: int, piece: Any) -> int:
        return self._random("n", stage, piece).randint(0, 3)

    def arrival(self, item: int) -> float:
        return self._random("a", item).uniform(0.0, self.gap) if self.gap else 0.0


@dataclass(eq=False)
class Live:
    """A call: the pieces that it took, when it ends or yields next, and how far it came."""

    pieces: list[tuple[int, ...]]
    until: float
    count: int = 0
    waiting: bool = False  # a stream that holds a piece for which there is no room


@dataclass(eq=False)
class Place:
    """A stage at work."""

    what: StageOf
    queue: list[tuple[float, tuple[int, ...]]] = field(default_factory=list)  # since when, piece
    live: list[Live] = field(default_factory=list)
    held: list[list[Any]] = field(default_factory=list)  # [pieces left, the stream that waits]

    @property
    def free(self) -> int:
        return self.what.at_once - len(self.live) - sum(it[1] is None for it in self.held)

    def has_room(self) -> bool:
        if self.what.batch is None and self.free > 0:
            return True
        return len(self.queue) < self.what.room


class Model:
    """Runs a plan; `starts` maps (stage, pieces) to the time, `ends` an item to (status, time)."""

    def __init__(self, plan: PlanOf) -> None:
        self.plan = plan
        self.now = 0.0
        self.read = 0
        self.coming: float | None = None  # when the next item comes, once it is asked for
        self.places = [Place(what) for what in plan.stages]
        self.starts: dict[tuple[int, Any], float] = {}
        self.ends: dict[int, tuple[str, float]] = {}
        self.open: dict[int, int] = {}
        self.reads: list[float] = []

    def run(self) -> Model:
        while True:
            while self.step():
                pass
            following = self.next_time()
            if following == inf:
                return self
            self.now = following

    # Rules

    def step(self) -> bool:
        """Do one thing that may happen now."""
        return any(rule() for rule in (self.finish, self.move, self.start, self.take))

    def take(self) -> bool:
        """Ask the source for an item where the first stage has room, and take it when it comes."""
        if self.read >= self.plan.items or not self.places[0].has_room():
            return False
        if self.coming is None:
            self.coming = self.now + self.plan.arrival(self.read)
            return True
        if self.coming > self.now:
            return False
        self.places[0].queue.append((self.now, (self.read,)))
        self.open[self.read] = 1
        self.reads.append(self.now)
        self.read += 1
        self.coming = None
        self.start_all()
        return True

    def start_all(self) -> None:
        """Nothing waits where a place is free: only then does a buffer have the room it seems."""
        while self.start():
            pass

    def start(self) -> bool:
        for number, place in enumerate(self.places):
            if place.free <= 0 or not place.queue or not self.due(number, place):
                continue
            size = 1 if place.what.batch is None else place.what.batch[0]
            taken, place.queue[:] = place.queue[:size], place.queue[size:]
            pieces = [piece for _, piece in taken]
            self.starts[number, self.key(place, pieces)] = self.now
            live = Live(pieces, self.now + self.length(number, place, pieces, 0))
            place.live.append(live)
            return True
        return False

    def due(self, number: int, place: Place) -> bool:
        if place.what.batch is None:
            return True
        size, linger = place.what.batch
        if len(place.queue) >= size or self.dry(number):
            return True
        return linger is not None and self.now >= place.queue[0][0] + linger

    def dry(self, number: int) -> bool:
        before = self.places[:number]
        return self.read >= self.plan.items and not any(
            it.queue or it.live or it.held for it in before
        )

    def finish(self) -> bool:
        for number, place in enumerate(self.places):
            for live in place.live:
                if live.until <= self.now and not live.waiting:
                    self.ended(number, place, live)
                    return True
        return False

    def ended(self, number: int, place: Place, live: Live) -> None:
        key = self.key(place, live.pieces)
        if place.what.spreads:
            self.yielded(number, place, live)
            return
        place.live.remove(live)
        if self.plan.fails(number, key):
            for item in dict.fromkeys(piece[0] for piece in live.pieces):
                self.fail(item)
            return
        left = [(self.now, piece) for piece in live.pieces if piece[0] not in self.ends]
        place.held.append([left, None])

    def yielded(self, number: int, place: Place, live: Live) -> None:
        (piece,) = live.pieces
        if live.count == self.plan.spread(number, piece):
            place.live.remove(live)
            if self.plan.fails(number, (piece,)):
                self.fail(piece[0])
            else:
                self.close(piece[0])
            return
        live.waiting = True
        self.open[piece[0]] += 1
        place.held.append([[(self.now, (*piece, live.count))], live])
        live.count += 1

    def move(self) -> bool:
        """Let what is held go on, where the next stage has room."""
        for number, place in enumerate(self.places):
            if not place.held:
                continue
            pieces, stream = place.held[0]
            last = number + 1 == len(self.places)
            if pieces and (last or self.places[number + 1].has_room()):
                since, piece = pieces.pop(0)
                if last:
                    self.close(piece[0])
                else:
                    self.places[number + 1].queue.append((since, piece))
                    self.start_all()
            elif pieces:
                continue
            if not pieces:
                place.held.pop(0)
                if stream is not None:
                    stream.waiting = False
                    stream.until = self.now + self.length(
                        number, place, stream.pieces, stream.count
                    )
            return True
        return False

    def close(self, item: int) -> None:
        self.open[item] -= 1
        if not self.open[item]:
            self.ends[item] = ("ok", self.now)

    def fail(self, item: int) -> None:
        """Nothing of the item goes on; what runs for it alone stops."""
        if item in self.ends:
            return
        self.ends[item] = ("failed", self.now)
        for place in self.places:
            place.queue[:] = [it for it in place.queue if it[1][0] != item]
            for group in place.held:
                group[0][:] = [it for it in group[0] if it[1][0] != item]
            place.held[:] = [group for group in place.held if group[0]]
            place.live[:] = [
                live for live in place.live if any(p[0] not in self.ends for p in live.pieces)
            ]

    # Time

    def length(self, number: int, place: Place, pieces: list[Any], count: int) -> float:
        if not place.what.spreads:
            return self.plan.seconds(number, self.key(place, pieces))
        if count == self.plan.spread(number, pieces[0]):
            return 0.0
        return self.plan.seconds(number, (pieces[0], count))

    def next_time(self) -> float:
        times = [live.until for it in self.places for live in it.live if not live.waiting]
        if self.coming is not None:
            times.append(self.coming)
        for place in self.places:
            if place.what.batch is not None and place.what.batch[1] is not None and place.queue:
                times.append(place.queue[0][0] + place.what.batch[1])
        return min((time for time in times if time > self.now), default=inf)

    @staticmethod
    def key(place: Place, pieces: list[Any]) -> tuple[Any, ...]:
        return tuple(pieces)
