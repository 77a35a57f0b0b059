"""A limit with rates: what its attempts reserve, wait for and settle.

The gate decides (`fanwise.core._buckets`, or one that is shared with other processes), the line
says who is next (`fanwise.core._queues`), and what is reserved comes from what the step used before
(`fanwise.core._needs`). An attempt is settled once: by what it told, where it succeeded; by nothing
but its request, where the provider refused it; else by what was reserved or estimated, whichever is
more, since nobody can say that it used less. How much of the limit is open follows from how its
attempts end (`fanwise.core._pace`), and from what their answers say is left.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from math import inf, isinf
from typing import TYPE_CHECKING, Any

from fanwise.core._buckets import Buckets
from fanwise.core._errors import LimitTooSlow, LimitTooSmall
from fanwise.core._headers import remaining_in
from fanwise.core._limits import PAUSE, LimitStatistics, Width
from fanwise.core._needs import Expected, Sizes
from fanwise.core._pace import Pace, Paced
from fanwise.core._policies import RATES
from fanwise.core._protocols import Amount
from fanwise.core._queues import Line, Turn, added
from fanwise.core._settlement import share_of, was_refused
from fanwise.core._transient import OVERLOADED, TOO_MANY, http_status, ran_out, refusal, retry_after

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping

    from fanwise.core._call import Call
    from fanwise.core._policies import Limit
    from fanwise.core._protocols import Gates, Need
    from fanwise.core._run import Run
    from fanwise.core._settlement import Told
    from fanwise.core._step import Definition

ONE = Amount(1, 0, 0)
OK, REFUSED, UNSURE = range(3)
BELOW = 0.999  # the load of what has room, however little


class Reservation:
    """What one attempt has of a limit, until it is settled and its slot given back."""

    __slots__ = ("amount", "ended", "epoch", "expected", "need", "number", "quota", "run")

    amount: Amount
    ended: int
    epoch: int  # of the limit's pace, in which it was admitted
    expected: Expected | None
    need: Need | None
    number: int
    quota: Quota
    run: Run

    def __init__(self, quota: Quota, number: int, run: Run, need: Need | None = None,
                 expected: Expected | None = None) -> None:  # fmt: skip
        """Prepare to reserve."""
        self.quota = quota
        self.number = number
        self.run = run
        self.need = need
        self.expected = expected
        self.ended = OK
        self.epoch = 0

    def expect(self) -> Amount:
        """Give what to reserve, by what is known now."""
        self.amount = ONE if self.expected is None else self.expected.amount(self.need)
        return self.amount

    def failed(self, error: BaseException) -> None:
        """Take note that the attempt failed, and whether it may have used anything."""
        self.ended = REFUSED if was_refused(error) else UNSURE

    def __repr__(self) -> str:
        """Show number and amount."""
        return f"<Reservation {self.number} of {self.amount}>"


class Quota(Width):
    """A limit with rates, or one whose gate is shared."""

    __slots__ = ("_began", "_count", "_door", "_early", "_elsewhere", "_expected", "_limit",
                 "_line", "_sizes", "_taken", "_time", "gate", "pace")  # fmt: skip

    def __init__(self, name: str, limit: Limit, loop: asyncio.AbstractEventLoop,
                 gates: Gates | None = None) -> None:  # fmt: skip
        """Make a limit with full buckets, here or where `gates` keeps them."""
        super().__init__(name, limit)
        self._limit = limit
        self._time = loop.time
        self._loop = loop
        self.gate = Buckets(limit, loop.time) if gates is None else gates.gate(name, limit)
        self.pace = Pace(limit, loop.time)
        self._sizes = Sizes(limit)
        self._door = Paced(self.gate, self.pace, self._share if limit.rates else nothing)
        self._line = Line(self._door, loop, self._share, limit.burst)
        self._elsewhere = gates is not None  # whether others take of it too
        self._early = limit.charge == "admission"
        self._expected: dict[str, Expected] | None = {} if self._sizes.bound else None
        self._count = 0
        self._began: float | None = None  # when the first was admitted
        self._taken = (0, 0, 0)  # requests, tokens read and written of all that were settled

    @property
    def is_held(self) -> bool:  # type: ignore[override] # here it depends
        """Whether a call holds a slot of it."""
        return self.at_once is not None

    @property
    def counts_tokens(self) -> bool:
        """Whether any of its rates is of tokens."""
        return self._expected is not None

    def reservation(self, call: Call[Any]) -> Reservation:
        """Describe what an attempt of `call` needs; raise LimitTooSmall where it never fits."""
        self._count += 1
        if self._expected is None:
            return Reservation(self, self._count, call.run)
        expected = self._expected_of(call.step.name, self._expected)
        need = call.policy.need(call)
        if need is not None and not self._sizes.hold(need, early=self._early):
            self._refuse(call, need)
        return Reservation(self, self._count, call.run, need, expected)

    def take(self, reservation: Reservation) -> bool:
        """Admit at once where nobody waits, if there is room."""
        if self._line.count:
            return False
        if self._door.admit_nowait(reservation.number, reservation.expect()) != 0.0:
            return False
        self._took(reservation)
        return True

    async def wait(self, reservation: Reservation, deadline: float | None, call: Call[Any]) -> None:
        """Wait in line for the admission of an attempt of `call`; cancelled, it takes nothing.

        Raises LimitTooSlow at once where the wait would end after `deadline`.
        """
        share = reservation.run.share
        key = self._key(reservation.run)
        amount = reservation.expect()
        if deadline is not None:
            self._refuse_late(self._line.ahead(key, share), amount, deadline)
        judge = partial(self._judge, reservation, call)
        turn = Turn(reservation.number, reservation.expect, amount, judge)
        await self._line.wait(key, share, turn)
        self._took(reservation)

    def _judge(self, reservation: Reservation, call: Call[Any]) -> None:
        """Let one that waits need what it needs of the limit of now."""
        fresh = self.reservation(call)
        reservation.need, reservation.expected = fresh.need, fresh.expected

    def failed(self, reservation: Reservation, error: BaseException) -> None:
        """Take note of a failure: what it may have used, and what it says of the provider.

        Where that says "too many" (429), or names a time after which it is there again (503, 529),
        nobody goes on for as long, or for a second after a 429 that names none.
        """
        reservation.failed(error)
        status = http_status(refusal(error))
        if status in OVERLOADED:
            said = retry_after(error)
            if status == TOO_MANY:
                self._refused += 1
                self.tell("refused", self.name, said, reservation.run)
            self._overloaded(reservation, said or (PAUSE if status == TOO_MANY else 0.0))
        elif ran_out(error, status):
            before = self.pace.width
            self.pace.ran_late(reservation.epoch, self.granted)
            self._tell_width(before)

    def _overloaded(self, reservation: Reservation, asked: float) -> None:
        """Fall, and let nobody in for as long as was asked; a pause made longer is still one."""
        before = self.pace.width
        self.pace.overloaded(reservation.epoch)
        self._tell_width(before)
        if asked:
            seconds = self._limit.burst if isinf(asked) else asked
            left = self.gate.paused()
            self._pauses += not left
            self._door.pause(seconds)
            if seconds > left:
                self.tell("paused", self.name, seconds, reservation.run)

    def _tell_width(self, before: float) -> None:
        """Tell who listens of another number of slots."""
        now = self.pace.width
        if now != before and (isinf(now) or isinf(before) or int(now) != int(before)):
            most = inf if self.at_once is None else self.at_once
            self.tell("width", self.name, min(most, now if isinf(now) else int(now)), None)

    def hear(self, reservation: Reservation, headers: Mapping[str, str]) -> None:
        """Take what the response to an attempt says that its provider has left, in any thread."""
        left = remaining_in(headers)
        if left is None:
            return
        if asyncio._get_running_loop() is self._loop:  # noqa: SLF001 - threads have none
            self.gate.correct(reservation.number, left)
        else:
            with suppress(RuntimeError):  # it is closed: nobody waits there any more
                self._loop.call_soon_threadsafe(self.gate.correct, reservation.number, left)

    def settle(self, reservation: Reservation, call: Call[Any], attempt: int) -> None:
        """Correct what an attempt reserved by what it used; its slot is given back apart."""
        used = self._used(reservation, call, attempt)
        width = self.pace.width
        if width < inf and reservation.ended == OK:
            self.pace.went_well()
            self._tell_width(width)
        if self._line.count and used != reservation.amount:
            run = reservation.run
            self._line.correct(self._key(run), run.share, reservation.amount, used)
        self._taken = added(self._taken, used, 1)
        self._door.settle(reservation.number, used)

    def release(self, reservation: Reservation) -> None:
        """Give the slot of a reservation back."""
        self.used -= 1
        self._door.release(reservation.number)

    def give_back(self, reservation: Reservation) -> None:
        """Give back all of what was admitted for an attempt that is not to be."""
        self._door.settle(reservation.number, Amount(0, 0, 0))
        self.release(reservation)

    def has_room(self) -> bool:
        """Say whether one who needs little would be admitted at once."""
        return not self._line.count and self._door.has_room(ONE)

    def has_room_for(self, call: Call[Any]) -> bool:
        """Say whether an attempt of `call` would be admitted at once."""
        return self.has_room() and self._door.has_room(self.reservation(call).expect())

    def load(self, step: Definition[Any], args: tuple[Any, ...], more: int) -> float:
        """Give the part that is taken when `more` such calls of `step` have come.

        Below 1 another one would be admitted at once. Above, those who wait and a pause count.
        """
        amount = ONE
        if self._expected is not None:
            expected = self._expected_of(step.name, self._expected)
            amount = expected.amount(step.policy.need_of(step.name, args))
        each = self._sizes.part(amount) if self._limit.rates else 0.0
        taken = 1.0 - min(self.gate.statistics().room.values(), default=1.0)
        width = min(self.pace.width, inf if self.at_once is None else self.at_once)
        each = max(each, 1 / width)
        taken = max(taken, self.used / width)
        waits = max(self._line.count, more)
        pause = self.gate.paused()
        load = taken + waits * each + pause / self._limit.burst
        if pause or self._line.stands or (self._line.count and not self._elsewhere):
            return max(1.0, load)
        if self._elsewhere:  # only who asks there will know
            return load
        all_of_them = Amount(*(count * (more + 1) for count in amount))
        return min(load, BELOW) if self._door.has_room(all_of_them) else max(1.0, load)

    def refuse_all(self, error: Exception) -> None:
        """Let everybody who waits fail with `error`."""
        self._line.refuse_all(error)

    def changed_to(self, limit: Limit) -> Callable[[], None]:
        """Give what makes it another limit; raise ValueError where that cannot be."""
        return partial(self._become, limit, self.gate.changed_to(limit))

    def _become(self, limit: Limit, change_gate: Callable[[], None]) -> None:
        self._limit = limit
        self.at_once = self.full = limit.at_once
        self._sizes = Sizes(limit)
        self._early = limit.charge == "admission"
        known = self._expected or {}
        for each in known.values():
            each.change(limit)
        self._expected = known if self._sizes.bound else None
        self.pace.change(limit)
        self._door.measure_by(self._share if limit.rates else nothing)
        change_gate()
        self._line.limit_changed(limit.burst)

    def close(self) -> None:
        """Leave nothing on the loop."""
        self._line.close()

    def statistics(self) -> LimitStatistics:
        """Give the limit's counters."""
        return LimitStatistics(
            self.name, self.at_once, self.used, self._line.count, self.granted,
            self.gate.statistics(), self.pace.found, self.pace.falls, self._refused,
            self.gate.paused(), self._pauses, self._shares(),
        )  # fmt: skip

    def _shares(self) -> dict[str, float]:
        """Give of each rate the share of it that was used since the first call."""
        seconds = 0.0 if self._began is None else self._time() - self._began
        requests, read, written = self._taken
        counts = dict(zip(RATES, (requests, read + written, read, written), strict=True))
        return {
            name: 60 * counts[name] / (rate * seconds) if seconds > 0 else 0.0
            for name, rate in self._limit.rates.items()
        }

    def _took(self, reservation: Reservation) -> None:
        if self._began is None:
            self._began = self._time()
        reservation.epoch = self.pace.epoch
        self.used += 1
        self.granted += 1

    def _expected_of(self, step: str, known: dict[str, Expected]) -> Expected:
        expected = known.get(step)
        if expected is None:
            expected = known[step] = Expected(step, self._limit)
        return expected

    def _key(self, run: Run) -> Hashable:
        tenant = run.share.tenant
        return run if tenant is None else tenant

    def _share(self, amount: Amount) -> float:
        """Give the greatest part of a bucket that an amount takes."""
        return self._sizes.part(amount)

    def _refuse(self, call: Call[Any], need: Need) -> None:
        """Raise where an attempt needs more than a bucket holds, whatever its answer is."""
        written = (need.most or 0) if self._early else 0
        for name, needed, size in self._sizes.each(Amount(1, need.tokens_in, written)):
            if needed > size:
                what = name.removesuffix("_per_minute").replace("_", " ")
                msg = (
                    f"{call.name} needs {needed:,} {what}, and the limit {self.name!r} never holds "
                    f"more than {size:,.0f}: {name}={self._limit.rates[name]:g} for "
                    f"burst={self._limit.burst:g} s"
                )
                raise LimitTooSmall(msg, needed, size)

    def _refuse_late(self, ahead: Amount, amount: Amount, deadline: float) -> None:
        """Raise where an amount, and what its flow needs before it, cannot be there in time."""
        so_far = self.gate.statistics()
        kept = 1 - so_far.refunded / max(1, so_far.refunded + so_far.used)
        total = Amount(
            ahead.requests + amount.requests,
            round(ahead.tokens_in * kept) + amount.tokens_in,
            round(ahead.tokens_out * kept) + amount.tokens_out,
        )
        wait = self.gate.least_wait(total)
        left = deadline - self._time()
        if wait > left:
            msg = (
                f"the wait for the limit {self.name!r} is {wait:.3g} s, and only "
                f"{max(0.0, left):.3g} s are left until the deadline"
            )
            raise LimitTooSlow(msg, wait, left)

    def _used(self, reservation: Reservation, call: Call[Any], attempt: int) -> Amount:
        """Give what counts as used by an attempt that has ended."""
        expected = reservation.expected
        reserved = reservation.amount
        if expected is None:
            return reserved
        told = share_of(call, attempt)
        if told is None:
            if reservation.ended == OK:
                expected.said_nothing(reservation.need)
            return Amount(reserved.requests, 0, 0) if reservation.ended == REFUSED else reserved
        used = used_by(told)
        if reservation.ended == OK:
            expected.learn(reservation.need, used)
        elif any(each[3] for each in told):  # estimated, for an attempt that broke off
            return Amount(*map(max, zip(used, reserved, strict=True)))
        return used

    def __repr__(self) -> str:
        """Show name and fill."""
        return f"<Quota {self.name}, {self.used} in flight, {self._line.count} waiting>"


def nothing(_amount: Amount) -> float:
    """Give what an amount takes of a limit that has no rates."""
    return 0.0


def used_by(told: tuple[Told, ...]) -> Amount:
    """Give what the answers of an attempt used; each came of a request."""
    if len(told) == 1:
        return Amount(1, told[0][4], told[0][5])
    return Amount(len(told), sum(each[4] for each in told), sum(each[5] for each in told))


def quota(_address: str) -> type[Quota]:
    """Give the class, for the registry: most runtimes have no rates."""
    return Quota
