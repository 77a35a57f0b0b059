"""The rates and the width of one limit in this process: all of them decided on at once.

Problem: admit attempts that are charged by what they will have used, and never admit in a window
of t seconds more than bucket + rate * t, whenever between admission and end the provider counts,
though what is reserved is corrected later.
Algorithm: a token bucket a rate (the leaky bucket as a meter, ITU-T I.371, annex A), in integers:
time is whole nanoseconds of the loop's clock, and a bucket counts in parts so small that each
nanosecond brings a whole number of them; nothing is rounded however long it runs. What is in flight
keeps its place: a bucket refills to its size less what is reserved and not settled. So at any
instant level + reserved <= size; whatever is admitted from then on comes from the level, from
refunds of what was reserved, or from the refill, which is the bound. A reservation keeps its place
for three quarters of the time in which the bucket refills: what takes longer counts as used then,
and only more than was reserved is taken afterwards. Without that end, long calls would keep the
bucket from refilling.

What a provider says that is left is compared with what was believed of it: with the level and what
in flight it counts at its end. The answer was made at some instant since the admission, and which
is not known: the lesser shortage of the two ends is taken. What was lost here since the admission,
to a full bucket or to another correction, is not lost twice.
Cost: one pass over at most four buckets.
Rejected: a refund of the whole difference with a refill to the full size (a call that takes as long
as the refill would be given back twice); replaying the bucket as if the truth had been known at
admission (exact for providers that count then, too much for those that count at the end); booking
instants ahead (a refund would help nobody who is booked).
"""

from __future__ import annotations

from collections import OrderedDict
from functools import partial
from math import inf
from typing import TYPE_CHECKING

from fanwise.core._policies import RATES
from fanwise.core._protocols import Amount, GateStatistics, Remaining

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from fanwise.core._policies import Limit

SECOND = 1_000_000_000  # nanoseconds
# A reservation: when, what it took of each bucket, what it takes, what was believed of each then.
Held = tuple[int, list[int], Amount, list[int]]
REQUESTS, TOKENS, READ, WRITTEN = range(len(RATES))


class Bucket:
    """One rate: what is left of it, in parts of which a nanosecond brings `rate`."""

    __slots__ = ("beside", "cap", "excess", "guessed", "kind", "level", "lost", "part", "rate",
                 "size", "written")  # fmt: skip

    beside: int  # what is lost, and what is reserved and the provider counts at the end
    cap: int  # its size, less what keeps its place
    excess: int  # spent of a larger bucket before it, beyond all of this one
    guessed: int  # parts of a token that is read and keeps its place, until it is known
    written: int  # parts of a token that is written and keeps its place, until it is counted
    kind: int
    level: int
    lost: int  # so far, to being full and to corrections
    part: int
    rate: int
    size: int

    def __init__(self, kind: int, per_minute: float, burst: int, *, early: bool) -> None:
        """Make a full bucket of `burst` nanoseconds' worth; `early`: written ones count at once."""
        self.kind = kind
        self.rate, scale = per_minute.as_integer_ratio()
        self.part = 60 * SECOND * scale  # of one token, or one request
        self.size = self.level = self.cap = self.rate * burst
        self.beside = self.excess = self.lost = 0
        self.guessed = self.part if kind in (TOKENS, READ) else 0
        self.written = self.part if kind in (TOKENS, WRITTEN) and not early else 0

    def holds(self, reserved: Iterable[Amount]) -> bool:
        """Say whether there is place for all that is reserved."""
        kept = sum(read * self.guessed + written * self.written for _, read, written in reserved)
        return kept <= self.size

    def follow(self, before: Bucket | None, reserved: Iterable[Amount]) -> None:
        """Take the place of a bucket of other numbers: what is spent of that is spent of this.

        What is `reserved` keeps its place. No bucket is below empty for being smaller than the one
        before it, but a debt stays a debt; what is beyond it is kept aside, in case the next one is
        larger again.
        """
        for _, read, written in reserved:
            self.cap -= read * self.guessed + written * self.written
            self.beside += written * self.written
        if before is not None:
            spent = -((before.level - before.size - before.excess) * self.part // before.part)
            debt = -(min(0, before.level) * self.part // before.part)
            self.level = max(self.size - spent, -debt)
            self.excess = max(0, self.level + spent - self.size)
        self.level = min(self.level, self.cap)

    def correct(self, believed: int, said: int) -> bool:
        """Take a shortage that an answer told of, and say whether there is one.

        `believed` is what was believed of the provider's bucket at the admission, and all that had
        been lost here until then.
        """
        shortage = min(believed, self.level + self.beside) - self.lost - said * self.part
        if shortage < self.part:  # what is said is rounded
            return False
        self.level -= shortage
        self.lost += shortage
        self.beside += shortage
        return True

    def __repr__(self) -> str:
        """Show what is left."""
        left, size = self.level / self.part, self.size / self.part
        return f"<Bucket {RATES[self.kind]}, {left:g} of {size:g}>"


class Buckets:
    """The gate of a limit that this process has for itself."""

    __slots__ = ("_admitted", "_asked", "_at", "_at_once", "_buckets", "_corrections", "_cost",
                 "_due", "_expired", "_hold", "_kept", "_refunded", "_reserved", "_slots", "_time",
                 "_until", "_used", "_wake")  # fmt: skip

    def __init__(self, limit: Limit, time: Callable[[], float]) -> None:
        """Start full, on the clock `time`, in seconds."""
        self._time = time
        self._at = round(time() * SECOND)
        self._describe(limit)
        self._due: float = inf  # before which no reservation loses its place
        self._kept: OrderedDict[int, Held] = OrderedDict()
        self._expired: dict[int, Held] = {}
        self._slots: set[int] = set()
        self._wake: Callable[[], None] = nobody
        self._until = 0  # when a pause ends
        self._admitted = self._reserved = self._used = self._refunded = self._corrections = 0

    def _describe(self, limit: Limit) -> None:
        """Make full buckets of a limit."""
        burst = round(limit.burst * SECOND)
        early = limit.charge == "admission"
        self._buckets = [
            Bucket(RATES.index(name), rate, burst, early=early)
            for name, rate in limit.rates.items()
        ]
        self._hold = burst * 3 // 4
        self._at_once = inf if limit.at_once is None else limit.at_once
        self._asked: Amount | None = None  # by the last one, and what that takes of each bucket
        self._cost: list[int] = []

    def changed_to(self, limit: Limit) -> Callable[[], None]:
        """Give what makes this the gate of another limit."""
        return partial(self._change, limit)

    def _change(self, limit: Limit) -> None:
        """Count by other numbers from now on; what was admitted and is in flight stays it."""
        now = self._advance()
        before = {bucket.kind: bucket for bucket in self._buckets}
        self._describe(limit)
        for number, held in list(self._kept.items()):
            if held[0] + self._hold <= now:
                self._expired[number] = self._kept.pop(number)
        reserved = [held[2] for held in self._kept.values()]
        if not all(bucket.holds(reserved) for bucket in self._buckets):
            self._expired |= self._kept  # they count as used, else nobody came in for long
            self._kept.clear()
            reserved = []
        for bucket in self._buckets:
            bucket.follow(before.get(bucket.kind), reserved)
        self._kept = OrderedDict((number, self._anew(held)) for number, held in self._kept.items())
        self._expired = {number: self._anew(held) for number, held in self._expired.items()}
        oldest = next(iter(self._kept.values()), None)
        self._due = inf if oldest is None else oldest[0] + self._hold
        self._wake()

    def _anew(self, held: Held) -> Held:
        """Give a reservation as it is in the buckets of now; its answer corrects nothing."""
        at, _, amount, _ = held
        return at, self._costs(amount), amount, [0] * len(self._buckets)

    def wake_with(self, wake: Callable[[], None]) -> None:
        """Take what is called after something came back."""
        self._wake = wake

    def admit_nowait(self, number: int, amount: Amount) -> float:
        """Take all of it and give 0.0, or take nothing and give the seconds until it may be."""
        if len(self._slots) >= self._at_once:
            return inf
        now = self._advance()
        if now < self._until:
            return (self._until - now) / SECOND
        if amount is not self._asked:  # most ask for what the one before them asked for
            self._asked, self._cost = amount, self._costs(amount)
        costs = self._cost
        for bucket, cost in zip(self._buckets, costs):  # noqa: B905 - as long, and on the hot path
            if cost > bucket.level:
                return self._wait(now, costs)
        _, read, written = amount
        for bucket, cost in zip(self._buckets, costs):  # noqa: B905 - as long, and on the hot path
            bucket.level -= cost
            if bucket.written:
                bucket.beside += written * bucket.written
                bucket.cap -= read * bucket.guessed + written * bucket.written
            elif bucket.guessed:
                bucket.cap -= read * bucket.guessed
        believed = [bucket.level + bucket.beside for bucket in self._buckets]
        if not self._kept:
            self._due = now + self._hold
        self._kept[number] = (now, costs, amount, believed)
        self._slots.add(number)
        self._admitted += 1
        self._reserved += read + written
        return 0.0

    async def admit(self, number: int, amount: Amount) -> float:
        """Do as `admit_nowait`, which always knows."""
        return self.admit_nowait(number, amount)

    def forgo(self) -> None:
        """Do nothing: nobody else stands here."""

    def has_room(self, amount: Amount) -> bool:
        """Say whether it would be admitted now."""
        now = self._advance()
        if len(self._slots) >= self._at_once or now < self._until:
            return False
        return not self._wait(now, self._costs(amount))

    def least_wait(self, amount: Amount) -> float:
        """Give the seconds in which so much is there, if as much comes back as did until now."""
        self._advance()
        back = self._refunded / max(1, self._refunded + self._used)
        wait: float = max(0, self._until - self._at)
        for bucket, cost in zip(self._buckets, self._costs(amount), strict=True):
            room = bucket.level + back * (bucket.size - bucket.cap)
            wait = max(wait, (cost - room) / bucket.rate)
        return wait / SECOND

    def settle(self, number: int, used: Amount) -> None:
        """Take what was used in place of what was reserved; a second time changes nothing."""
        now = self._advance()
        held = self._kept.pop(number, None)
        late = held is None
        if held is None:
            held = self._expired.pop(number, None)
        if held is None:
            return
        at, costs, amount, _ = held
        _, read, written = amount
        withdrawn = not used[0] and at == now  # nothing has refilled since
        for bucket, reserved, true in zip(self._buckets, costs, self._costs(used), strict=True):
            kept = read * bucket.guessed + written * bucket.written
            back = kept - used[1] * bucket.guessed - used[2] * bucket.written
            gone = reserved - true - back  # of what kept no place
            if late:
                bucket.level += min(0, back) + min(0, gone)
                continue
            bucket.level += back if gone > 0 and not withdrawn else back + gone
            bucket.cap += kept
            bucket.beside -= written * bucket.written
        tokens = used[1] + used[2]
        reserved_tokens = read + written
        self._used += tokens
        if reserved_tokens > tokens and not late:
            self._refunded += reserved_tokens - tokens
        self._wake()

    def release(self, number: int) -> None:
        """Free the slot; a second time changes nothing."""
        if number in self._slots:
            self._slots.remove(number)
            self._wake()

    def pause(self, seconds: float) -> None:
        """Admit nothing for so many seconds; a longer pause stays."""
        self._until = max(self._until, self._advance() + round(seconds * SECOND))

    def paused(self) -> float:
        """Give the seconds that are left of a pause."""
        left = self._until - self._advance() if self._until else 0
        return left / SECOND if left > 0 else 0.0

    def correct(self, number: int, left: Remaining) -> None:
        """Take what an answer said is left, where it is less than was believed."""
        self._advance()
        held = self._kept.get(number)
        if held is None:  # older than what the buckets hold
            return
        corrected = False
        for bucket, believed in zip(self._buckets, held[3], strict=True):
            said = left[bucket.kind]
            if said is not None and bucket.correct(believed, said):
                corrected = True
        self._corrections += corrected

    def statistics(self) -> GateStatistics:
        """Give the counters, and the share of each bucket that is there."""
        self._advance()
        room = {RATES[each.kind]: each.level / each.size for each in self._buckets}
        return GateStatistics(
            len(self._slots), self._admitted, self._reserved, self._used, self._refunded, room,
            self._corrections,
        )  # fmt: skip

    def _costs(self, amount: Amount) -> list[int]:
        requests, read, written = amount
        amounts = (requests, read + written, read, written)
        return [amounts[bucket.kind] * bucket.part for bucket in self._buckets]

    def _wait(self, now: int, costs: list[int]) -> float:
        """Give the seconds until asking again may help, 0.0 where it is there."""
        wait = 0
        for bucket, cost in zip(self._buckets, costs):  # noqa: B905 - as long, and on the hot path
            lacking = cost - bucket.level
            if lacking <= 0:
                continue
            if cost <= bucket.cap:
                wait = max(wait, -(-lacking // bucket.rate))
            else:  # what is in flight leaves no place for it
                oldest = next(iter(self._kept.values()), None)
                if oldest is None:
                    return inf
                wait = max(wait, oldest[0] + self._hold - now)
        return wait / SECOND if wait else 0.0

    def _advance(self) -> int:
        """Refill up to now, which is given; a clock that goes back stands still."""
        now = round(self._time() * SECOND)
        if now <= self._at:
            return self._at
        while self._due <= now:
            self._expire()
        self._refill(now)
        return now

    def _refill(self, now: int) -> None:
        elapsed = now - self._at
        self._at = now
        for bucket in self._buckets:
            level = bucket.level + elapsed * bucket.rate
            if level > bucket.cap:
                bucket.lost += level - bucket.cap
                bucket.beside += level - bucket.cap
                if bucket.excess:
                    bucket.excess = max(0, bucket.excess + bucket.cap - level)
                level = bucket.cap
            bucket.level = level

    def _expire(self) -> None:
        """Let the oldest reservation lose its place, where its time is over."""
        number, held = next(iter(self._kept.items()), (0, None))
        if held is None:
            self._due = inf
            return
        due = held[0] + self._hold
        if due > self._due:  # the one that it was set for is settled
            self._due = due
            return
        self._refill(due)
        del self._kept[number]
        self._expired[number] = held
        _, read, written = held[2]
        for bucket in self._buckets:
            bucket.cap += read * bucket.guessed + written * bucket.written
            bucket.beside -= written * bucket.written

    def __repr__(self) -> str:
        """Show the buckets."""
        return f"<Buckets {self._buckets}, {len(self._slots)} in flight>"


def nobody() -> None:
    """Wake nobody, before a line stands at the gate."""
