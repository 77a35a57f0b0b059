"""A board in memory: the twin of the one over Redis, for one process, tests and times of outage.

The same decisions as `_visit.lua`, in integers; one state machine compares every answer of both.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from fanwise.stores._standing import standing_of
from fanwise.stores._till import MemoryTill
from fanwise.stores._visit import DONE, GRANTED, LOST, NOTHING, WAIT, Reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from fanwise.stores._standing import LimitStanding
    from fanwise.stores._till import Till
    from fanwise.stores._visit import Four, Listener, Rate, Terms, Visit


def wall_clock() -> int:
    """Give the microseconds since 1970."""
    return time.time_ns() // 1000


class Holder:
    """What a board knows of a worker."""

    __slots__ = ("lapse", "need", "need_slots", "kept", "reply", "seen", "slots", "ticket", "visit")

    def __init__(self) -> None:
        """Know nothing yet."""
        self.seen = 0
        self.lapse = 0
        self.visit = 0
        self.slots = 0
        self.ticket = 0
        self.kept: Four = NOTHING
        self.need: Four = NOTHING
        self.need_slots = 0
        self.reply = Reply(DONE, 0)

    def lapses_in(self, now: int) -> int:
        """Give how long it may stay unseen from now, at most its lapse whatever the clock did."""
        return min(self.seen, now) + self.lapse - now

    def __repr__(self) -> str:
        """Show what it holds."""
        return f"<Holder of {self.slots} slots and {self.kept}, ticket {self.ticket}>"


class Bucket:
    """One limit on a board in memory: what is spent of each dimension, and who holds what."""

    def __init__(self) -> None:
        """Begin full."""
        self.at = 0
        self.paused = 0
        self.until = 0
        self.spent = [0, 0, 0, 0]
        self.scale = [0, 0, 0, 0]
        self.holders: dict[str, Holder] = {}
        self.terms: Terms | None = None  # of the last visitor, for who watches

    def __repr__(self) -> str:
        """Show what is spent and how many hold something."""
        return f"<Bucket {self.spent} of {self.scale}, {len(self.holders)} holders>"

    def refill(self, terms: Terms, floors: list[int], now: int) -> None:
        """Let what is spent run off up to `now`, but never below what is kept."""
        for d, rate in enumerate(terms.rates):
            if rate is not None:
                spent = self.spent[d]
                if self.scale[d] not in {0, rate.scale}:  # the rate was changed
                    spent = -(-spent * rate.scale // self.scale[d])
                spent = max(0, spent - (now - self.at) * rate.refill)
                self.spent[d] = max(spent, floors[d] * rate.scale)
                self.scale[d] = rate.scale

    def levels(self) -> Four:
        """Give what is spent."""
        a, b, c, d = self.spent
        return (a, b, c, d)

    def leased(self) -> list[int]:
        """Give what is kept, by dimension."""
        return [sum(holder.kept[d] for holder in self.holders.values()) for d in range(4)]

    def told(self, now: int) -> list[int]:
        """Give what `standing_of` reads; nothing where nothing is known any more."""
        terms = self.terms
        if terms is None or self.until <= now:
            return []
        alive = [holder for holder in self.holders.values() if holder.lapses_in(now) > 0]
        found = [
            now,
            -1 if terms.at_once is None else terms.at_once,
            len(alive),
            sum(holder.ticket > 0 for holder in alive),
            sum(holder.slots for holder in alive),
            max(0, self.paused - now),
        ]
        for rate, spent, kept in zip(terms.rates, self.spent, self.leased(), strict=True):
            if rate is None:
                found += [0, 0]
            else:
                left = spent - max(0, now - self.at) * rate.refill
                found += [rate.capacity, -(-max(left, kept * rate.scale) // rate.scale)]
        return found

    def set_back(self, now: int) -> None:
        """Live with a clock that was set back: nothing is gained by it, nothing stands still."""
        back = self.at - now
        if back > 0:
            self.paused = max(0, self.paused - back)
            self.until = max(0, self.until - back)
            self.at = now
        for holder in self.holders.values():
            holder.seen = min(holder.seen, now)


class Decision:
    """One visit at one bucket, at one instant."""

    def __init__(self, bucket: Bucket, terms: Terms, visit: Visit, now: int) -> None:
        """Take what is decided about."""
        self.bucket = bucket
        self.terms = terms
        self.visit = visit
        self.now = now
        self.limits: list[tuple[int, Rate]] = [
            (d, rate) for d, rate in enumerate(terms.rates) if rate is not None
        ]

    def made(self, listeners: list[Listener], *, known: bool) -> Reply:
        """Decide, change the bucket, tell who listens."""
        bucket, visit, now = self.bucket, self.visit, self.now
        floors = bucket.leased()
        gone = [name for name, holder in bucket.holders.items() if holder.lapses_in(now) <= 0]
        me = None if visit.holder in gone else bucket.holders.get(visit.holder)
        if me is None and not visit.born:
            return Reply(LOST, now)
        if me is not None and me.visit >= visit.number:  # its answer was lost: once is enough
            return me.reply
        bucket.set_back(now)
        for name in gone:
            del bucket.holders[name]
        if me is None:
            me = bucket.holders[visit.holder] = Holder()
        if not known:
            bucket.at = now
            for d, rate in self.limits if now < visit.known_until else ():
                bucket.spent[d] = rate.capacity * rate.scale
                bucket.scale[d] = rate.scale
        bucket.refill(self.terms, floors, now)
        bucket.terms = self.terms
        returned = bool(gone) or self.returns(me)
        self.hear(me)
        return self.answer(me, listeners, returned=returned)

    def returns(self, me: Holder) -> bool:
        """Say whether the holder has less than before: a slot, a grant, a place."""
        visit = self.visit
        less = [visit.owed[d] < 0 or visit.kept[d] < me.kept[d] for d, _ in self.limits]
        return visit.held < me.slots or any(less)

    def hear(self, me: Holder) -> None:
        """Enter what the holder says."""
        bucket, visit = self.bucket, self.visit
        me.seen, me.lapse, me.visit, me.slots = self.now, visit.lapse, visit.number, visit.held
        me.kept = self.limited(visit.kept)
        me.need = self.limited(visit.need)
        me.need_slots = visit.slots
        floors = bucket.leased()
        for d, rate in self.limits:
            spent = bucket.spent[d] + visit.owed[d] * rate.scale
            gone = rate.capacity - rate.ceiling(visit.left[d])
            bucket.spent[d] = max(spent, floors[d] * rate.scale, gone * rate.scale)
        if visit.pause > 0:
            bucket.paused = max(bucket.paused, self.now + visit.pause)

    def pauses(self) -> int:
        """Give for how long nobody is admitted."""
        return max(0, self.bucket.paused - self.now)

    def limited(self, amounts: Four) -> Four:
        """Leave out the dimensions that are not limited."""
        a, b, c, d = (
            n if rate is not None else 0 for n, rate in zip(amounts, self.terms.rates, strict=True)
        )
        return (a, b, c, d)

    def wait_of(self, holder: Holder) -> int:
        """Give how long a holder has to wait, behind those that came before it."""
        bucket = self.bucket
        before = [
            other
            for other in bucket.holders.values()
            if other is not holder
            and other.ticket > 0
            and (holder.ticket == 0 or other.ticket < holder.ticket)
        ]
        waits = [self.pauses()]
        places, full = bucket.leased(), False
        for d, rate in self.limits:
            if holder.need[d] > 0:
                asked = holder.need[d] + sum(other.need[d] for other in before)
                lack = bucket.spent[d] + (asked - rate.capacity) * rate.scale
                waits.append(-(-lack // rate.refill))
                full = full or places[d] + asked > rate.capacity
        used = sum(other.slots for other in bucket.holders.values())
        slots = used + holder.need_slots + sum(other.need_slots for other in before)
        at_once = self.terms.at_once
        if full or (holder.need_slots > 0 and at_once is not None and slots > at_once):
            waits += [1, self.lapsing()]
        return max(waits)

    def lapsing(self) -> int:
        """Give the time until what another holds could be free because nobody sees it."""
        others = [
            holder.lapses_in(self.now)
            for name, holder in self.bucket.holders.items()
            if name != self.visit.holder and (holder.slots > 0 or any(holder.kept))
        ]
        return min([self.visit.lapse, *others])

    def answer(self, me: Holder, listeners: list[Listener], *, returned: bool) -> Reply:
        """Grant, or give a place in line; tell those whom it concerns."""
        asked = me.need_slots > 0 or any(me.need)
        wait = self.wait_of(me) if asked else 0
        others = {
            holder.ticket: name
            for name, holder in self.bucket.holders.items()
            if holder is not me and holder.ticket > 0
        }
        first = others[min(others)] if others else None
        left = me.ticket > 0 and wait <= 0
        slots, grants = 0, NOTHING
        if self.visit.pause > 0:
            for each in listeners:
                each.halted(self.visit.holder, self.pauses())
        if wait > 0:
            if me.ticket == 0:
                me.ticket = max(others, default=0) + 1
                for each in listeners:
                    each.recalled(self.visit.holder)
        else:
            me.ticket = me.need_slots = 0
            me.need = NOTHING
            if asked:
                slots, grants = self.granted(me, alone=first is None)
        if first is not None and (returned or left):
            soonest = self.wait_of(self.bucket.holders[first])
            for each in listeners:
                each.woken(first, soonest)
        status = WAIT if wait > 0 else GRANTED if asked else DONE
        until = self.keep()
        bucket = self.bucket
        me.reply = Reply(
            status, self.now, wait, until, first is not None, self.pauses(), slots, grants,
            bucket.levels(),
        )  # fmt: skip
        return me.reply

    def granted(self, me: Holder, *, alone: bool) -> tuple[int, Four]:
        """Give what is needed, and more where there is plenty and nobody waits."""
        bucket, visit = self.bucket, self.visit
        count = len(bucket.holders)
        slots, at_once = visit.slots, self.terms.at_once
        if alone and at_once is not None:
            used = sum(holder.slots for holder in bucket.holders.values())
            free = (at_once - used - visit.slots) // (2 * count)
            slots += max(0, min(visit.more_slots, free))
        me.slots = visit.held + slots
        grants = [0, 0, 0, 0]
        for d, rate in self.limits:
            free = (rate.capacity - visit.need[d]) * rate.scale - bucket.spent[d]
            ample = min(visit.more[d], free // (2 * count * rate.scale)) if alone else 0
            grants[d] = visit.need[d] + max(0, ample)
            if not bucket.spent[d] and grants[d]:
                bucket.spent[d] = self.terms.delay * rate.refill
            bucket.spent[d] += grants[d] * rate.scale
        a, b, c, d = grants
        me.kept = (
            me.kept[0] + a, me.kept[1] + b, me.kept[2] + c, me.kept[3] + d,
        )  # fmt: skip
        return slots, (a, b, c, d)

    def kept(self) -> list[int]:
        """Give what keeps its place, of each limited dimension."""
        leased = self.bucket.leased()
        return [leased[d] for d, _ in self.limits]

    def keep(self) -> int:
        """Give the instant until which the bucket says more than an empty one; move its clock."""
        bucket, now = self.bucket, self.now
        bucket.at = now
        alive = max(holder.lapses_in(now) for holder in bucket.holders.values())
        stays = [bucket.until - now, bucket.paused - now, alive]
        stays += [-(-bucket.spent[d] // rate.refill) for d, rate in self.limits]
        for (_, rate), kept in zip(self.limits, self.kept(), strict=True):
            if kept:  # used as late as it can be, it runs off from then
                stays.append(alive - (-kept * rate.scale // rate.refill))
        bucket.until = now + max(0, *stays)
        return bucket.until


class MemoryBoard:
    """Where buckets of shared limits stand, in this process; `clock` gives whole microseconds."""

    def __init__(self, clock: Callable[[], int] = wall_clock) -> None:
        """Begin with nothing spent."""
        self.clock = clock
        self.buckets: dict[str, Bucket] = {}
        self._listeners: dict[str, list[Listener]] = {}
        self._till = MemoryTill(clock)

    async def visit(self, terms: Terms, visit: Visit, /) -> Reply:
        """Decide a visit, at once and for all dimensions."""
        return self.visit_nowait(terms, visit)

    def visit_nowait(self, terms: Terms, visit: Visit) -> Reply:
        """Decide a visit."""
        now = self.clock()
        bucket = self.buckets.get(terms.name)
        if bucket is not None and bucket.until <= now and bucket.at <= now:
            bucket = None  # it says no more than a new one
        known = bucket is not None
        kept = bucket if bucket is not None else Bucket()
        listeners = self._listeners.get(terms.name, [])
        reply = Decision(kept, terms, visit, now).made(listeners, known=known)
        if known or reply.status != LOST:
            self.buckets[terms.name] = kept
        return reply

    async def standing(self) -> list[LimitStanding]:
        """Give the limits that are known here, by name; changes nothing."""
        now = self.clock()
        known = ((name, bucket.told(now)) for name, bucket in sorted(self.buckets.items()))
        return [standing_of(name, told) for name, told in known if told]

    async def listen(self, name: str, listener: Listener, /) -> None:
        """Tell `listener` what happens at a limit, from now on."""
        self._listeners.setdefault(name, []).append(listener)

    def unlisten(self, name: str, listener: Listener, /) -> None:
        """Tell `listener` nothing more."""
        self._listeners[name].remove(listener)

    def till(self) -> Till:
        """Give where the budgets of tenants are counted."""
        return self._till

    async def aclose(self) -> None:
        """Do nothing: others may still share it."""

    def __repr__(self) -> str:
        """Count the limits."""
        return f"<MemoryBoard of {len(self.buckets)} limits>"


__all__ = ["Bucket", "MemoryBoard"]
