"""The one policy engine: attempts under retry, hedge, breaker, limit, timeout, pool.

The order is the design's, from outside in: journal, cache, (deadline, which the caller holds),
retry, hedge, breaker, limit with reservation, pool, attempt timeout, body.
"""

from __future__ import annotations

import asyncio
from asyncio import CancelledError, current_task
from contextlib import suppress
from functools import partial
from math import isinf
from typing import TYPE_CHECKING, Any

from fanwise.core._cache_state import Sharing
from fanwise.core._errors import NotDone, StepTimedOut
from fanwise.core._items import hand_over
from fanwise.core._record import add_wait, note
from fanwise.core._scope import CURRENT, DEADLINE, Attempt
from fanwise.core._settlement import PLAIN, estimate_lost, note_lost, settle_value
from fanwise.core._timed import timed
from fanwise.core._transient import is_counted, is_retried, leaves_writes_open, retry_after
from fanwise.core._watchers import refuse_write_below_race

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from concurrent.futures import Future

    from fanwise.core._breaker import BreakerState
    from fanwise.core._call import Call
    from fanwise.core._hedge_state import HedgeState
    from fanwise.core._limits import Width
    from fanwise.core._policies import Policy, Retry
    from fanwise.core._pools import Place
    from fanwise.core._quota import Quota
    from fanwise.core._scope import Scope
    from fanwise.core._shared import Outfit
    from fanwise.core._workers import Worker, Workers
    from fanwise.core.events import LimitEvents

RETRY_SHARE = 0.2
RETRIES_ALWAYS = 10
DOUBLINGS = 60  # after which any wait is as long as it gets


def make_attempts(call: Call[Any], scope: Scope) -> Coroutine[Any, Any, Any]:
    """Run a call's body under its whole policy, and give its value."""
    policy = call.policy
    if policy.effect == "write":
        refuse_write_below_race(call)
    if call.run.plain and not policy.apart:
        return Execution(call, scope).value()
    if call.step.owns_arguments:
        return execution(call, scope).value()
    journal = call.run.journal
    if journal is not None:
        return journal.answer(call, scope)
    return perform(call, scope)


def perform(call: Call[Any], scope: Scope) -> Coroutine[Any, Any, Any]:
    """Run a call's body under all of its policy that is no journal."""
    if call.policy.cache is not None:
        return _shared(call, scope)
    return execution(call, scope).value()


def execution(call: Call[Any], scope: Scope) -> Execution:
    """Give what runs a call: under budgets, with reservations."""
    run = call.run
    if call.policy.budget is None and not run.budgeted:
        return Execution(call, scope)
    return run.runtime.known_spending().execution(call, scope)


async def perform_bare(call: Call[Any], scope: Scope) -> Any:  # noqa: ANN401 - the step's value
    """Run the body of a call without a policy, as `run_call` does where there is no journal."""
    call.attempts = 1
    try:
        value = await call.step.function(*call.args, **call.kwargs)
    except BaseException as error:
        note_lost(call, scope, error)
        raise
    if value.__class__ not in PLAIN:
        settle_value(call, scope, value)
    return value


async def _shared(call: Call[Any], scope: Scope) -> Any:  # noqa: ANN401 - the step's value
    """Give the value that the cache has or an equal call makes, or make it for both."""
    CURRENT.set(scope)
    sharing = Sharing(call)
    found = await sharing.find()
    if found is not None:
        value = list(found[0]) if call.step.streams else found[0]
        await hand_over(call, value)
        return value
    try:
        value = await execution(call, scope).value()
        sharing.keep(value)
    finally:
        sharing.end()
    return value


class Execution:
    """One call under its policy: what its attempts share."""

    __slots__ = ("call", "deadline", "outfit", "own", "policy", "scope", "unheard")

    call: Call[Any]
    deadline: float | None
    outfit: Outfit
    own: bool
    policy: Policy
    scope: Scope
    unheard: tuple[tuple[int, float], ...]  # attempts that told nothing, with their seconds

    def __init__(self, call: Call[Any], scope: Scope) -> None:
        """Take what the runtime keeps for the step."""
        self.call = call
        self.scope = scope
        self.policy = policy = call.policy
        self.own = policy.keeps and scope.kept is None
        if self.own:
            scope.kept = {}
        self.deadline = DEADLINE.get()
        self.unheard = ()
        runtime = call.run.runtime
        self.outfit = runtime.outfits.get(call.step) or runtime.outfit(call.step, policy)

    async def value(self) -> Any:  # noqa: ANN401 - the step's value
        """Attempt until one succeeds or none may follow."""
        policy = self.policy
        try:
            while True:
                attempt = Attempt(self.scope, keeps=policy.keeps)
                try:
                    if self.outfit.hedges is None:
                        return await self.attempt(attempt)
                    return await self.raced(attempt, self.outfit.hedges)
                except Exception as error:
                    delay = self.delay_after(error)
                    if delay is None:
                        raise
                await self.back_off(delay)
        finally:
            if self.own and self.scope.kept:
                self.scope.kept.clear()  # the children refer to the attempts that made them

    async def raced(self, attempt: Attempt, hedges: HedgeState) -> Any:  # noqa: ANN401 - as above
        """Make one attempt beside which duplicates may start, and give the winner's value."""
        value: Any = None
        ended: BaseException | None = None
        try:
            value = await self.attempt(attempt)
        except (Exception, CancelledError) as error:
            if attempt.hedging is None:
                raise
            ended = error
        if ended is not None and attempt.hedging is not None:
            try:  # here, where this is not the context of what a duplicate raised: frames lead back
                return await attempt.hedging.first_ended(ended)
            finally:
                ended = None
        if not self.call.step.streams:  # whose first item has been noted
            hedges.took(self.call.run.time() - attempt.started)
        if attempt.hedging is not None:
            await attempt.hedging.first_succeeded()
        return value

    async def attempt(  # noqa: C901, PLR0912 - the order of the policies, in one place, on the hot path
        self, attempt: Attempt
    ) -> Any:  # noqa: ANN401 - the step's value
        """Make one attempt, from its admission to its end."""
        call = self.call
        run = call.run
        outfit = self.outfit
        breaker = outfit.breaker
        attempt.started = run.time()
        probe = breaker is not None and breaker.admit(attempt.started)
        failed: BaseException | None = None
        holding = False
        try:
            if outfit.widths:
                if outfit.only is None or not outfit.only.take_plainly():
                    probe = await self.take_slots(attempt, probe=probe)
                holding = True
                if not attempt.hedge:
                    call.holds = outfit.holds
            call.attempts = attempt.number = call.attempts + 1
            CURRENT.set(attempt)
            attempt.task = task = current_task() if attempt.hedge else call.task
            attempt.debt = task.cancelling()  # type: ignore[union-attr]
            if outfit.hedges is not None and not attempt.hedge:
                attempt.execution = self
                outfit.hedges.arm(attempt, attempt.started)
            if run.plain:
                value = await timed(call, attempt, outfit.timeouts, self.deadline)
                if value.__class__ not in PLAIN:
                    settle_value(call, attempt, value)
            else:
                value = await self.intended(attempt)
        except BaseException as error:
            failed = error
            if attempt.number:
                self.note_failure(attempt, error)
            raise
        else:
            if attempt.number > 1:
                for number, seconds in self.unheard:  # now it may be known what its step uses
                    estimate_lost(call, number, seconds)
                run.add_attempt(attempt, "ok", None)
            return value
        finally:
            attempt.execution = attempt.task = None  # they lead back here
            if outfit.hedges is not None:
                outfit.hedges.disarm(attempt)
            if holding:
                self.give_slots(attempt)
            if breaker is not None:
                self.tell_breaker(breaker, failed, probe=probe)
            failed = None  # this frame stands in its traceback

    async def intended(self, attempt: Attempt) -> Any:  # noqa: ANN401 - the step's value
        """Run the body, of a write after its intent, and read what it used."""
        journal = self.call.run.journal
        if journal is not None and attempt.number == 1 and self.policy.effect == "write":
            await journal.intend(self.call)
            attempt.started = self.call.run.time()
        value = await timed(self.call, attempt, self.outfit.timeouts, self.deadline)
        if value.__class__ not in PLAIN:
            settle_value(self.call, attempt, value)
        return value

    def note_failure(self, attempt: Attempt, error: BaseException) -> None:
        """Record an attempt that did not succeed, and what it leaves open."""
        call = self.call
        if isinstance(error, CancelledError):
            status = "cancelled"
        else:
            status = "timed_out" if isinstance(error, StepTimedOut) else "failed"
        if attempt.abandoned is not None and not attempt.abandoned.done():
            status = "abandoned"
            note(call, abandoned=True)
        policy = self.policy
        unsure = isinstance(error, CancelledError) or leaves_writes_open(error)
        if unsure and policy.effect == "write" and not policy.keyed:
            note(call, ambiguous=True)
            error.add_note(f"{call.name} is a write: it may or may not have happened")
        if note_lost(call, attempt, error) and policy.keeps:
            self.unheard += ((attempt.number, call.run.time() - attempt.started),)
        if self.outfit.quota is not None:
            self.outfit.quota.failed(attempt.reservation, error)
        elif policy.limit is not None:
            self.outfit.widths[0][0].refused(error, call.run)
        if policy.keeps:  # else the call's own row says it all
            call.run.add_attempt(attempt, status, error)

    async def take_slots(self, attempt: Attempt, *, probe: bool) -> bool:
        """Wait for a slot of the step's limit, then of its pool; a hedge finds them free.

        Say whether the attempt is its breaker's probe: one that opened meanwhile has its say.
        """
        taken: list[Width] = []
        try:
            for width, kind in self.outfit.widths:
                if width.nested:
                    self.call.run.runtime.refuse_held(self.call, width)
                if width is self.outfit.quota:
                    await self.reserve(attempt, self.outfit.quota)
                elif not width.take_nowait():
                    await self.wait_turn(width.name, kind, width.wait_turn())
                taken.append(width)
            place = self.outfit.place
            if place is not None and place.workers is not None:
                attempt.worker = await self.wait_for_worker(attempt, place, place.workers)
            elif self.outfit.breaker is not None and not probe:
                probe = self.outfit.breaker.admit(self.call.run.time())
        except BaseException:
            for width in taken:
                if width is self.outfit.quota:
                    self.outfit.quota.give_back(attempt.reservation)
                else:
                    width.give()
            raise
        attempt.started = self.call.run.time()
        return probe

    async def reserve(self, attempt: Attempt, quota: Quota) -> None:
        """Reserve what an attempt is expected to use of the rates of its limit, and its slot."""
        attempt.reservation = reservation = quota.reservation(self.call)
        if not quota.take(reservation):
            await self.wait_turn(
                quota.name, "limit", quota.wait(reservation, self.deadline, self.call)
            )

    async def wait_turn(self, name: str, kind: str, turn: Coroutine[Any, Any, None]) -> None:
        """Wait in line, visibly."""
        call = self.call
        began = call.run.time()
        runtime = call.run.runtime
        lines = runtime.pool_waits if kind == "pool" else runtime.limit_waits
        waiting = lines.setdefault(name, {})
        waiting[call] = None
        if runtime.listeners and kind == "limit":
            turn = self.told(name, began, turn)
        try:
            await turn
        finally:
            del waiting[call]
            add_wait(call, kind, call.run.time() - began)

    async def told(self, name: str, began: float, turn: Coroutine[Any, Any, None]) -> None:
        """Tell who listens that a wait for a limit begins, and how it ends."""
        run, number = self.call.run, self.call.id
        tell = run.runtime.tell_limit
        tell("waits", name, 0.0, run, number)
        ended: LimitEvents = "left"
        try:
            await turn
            ended = "admitted"
        finally:
            tell(ended, name, run.time() - began, run, number)

    async def wait_for_worker(self, attempt: Attempt, place: Place, workers: Workers) -> Worker:
        """Give the worker of a slot, once it has started and has the function's module."""
        call = self.call
        worker = workers.lend_nowait(call.step.function)
        if worker is not None:
            return worker
        lent = workers.lend(call.step.function)
        began = call.run.time()
        try:
            if not lent.done():
                waiting = call.run.runtime.pool_waits.setdefault(place.name, {})
                waiting[call] = None
                try:
                    await asyncio.wrap_future(lent, loop=call.run.runtime.loop)
                finally:
                    waiting.pop(call, None)  # a hedge of the same call may have waited beside it
                    add_wait(call, "pool", call.run.time() - began)
            return lent.result()
        except CancelledError:
            place.forgo(lent)
            raise
        except Exception:
            call.attempts = attempt.number = call.attempts + 1  # or a retry would never end
            raise

    def give_slots(self, attempt: Attempt) -> None:
        """Give the slots back, when the attempt has really ended."""
        if not attempt.hedge:
            self.call.holds = None
        outfit = self.outfit
        thread = attempt.abandoned
        if thread is None and outfit.only is not None:
            outfit.only.give()
            return
        if thread is None and outfit.place is not None and outfit.place.workers is not None:
            outfit.place.workers.take_back(attempt.worker)
        for width, _ in outfit.widths:
            give = width.give
            if width is outfit.quota:
                outfit.quota.settle(attempt.reservation, self.call, attempt.number)
                give = partial(outfit.quota.release, attempt.reservation)
            if thread is None:
                give()
            else:
                self.give_later(give, thread)

    def give_later(self, give_slot: Callable[[], None], thread: Future[Any]) -> None:
        """Give a slot back when the thread has ended that could not be stopped."""
        loop = self.call.run.runtime.loop

        def give(_: object) -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody waits for a slot any more
                loop.call_soon_threadsafe(give_slot)

        thread.add_done_callback(give)

    def has_room(self) -> bool:
        """Say whether a hedge may be sent: no stress at the breaker, a slot free at once."""
        breaker = self.outfit.breaker
        calm = breaker is None or breaker.closed()
        if not calm or not all(width.has_room() for width, _ in self.outfit.widths):
            return False
        quota = self.outfit.quota
        return quota is None or quota.has_room_for(self.call)

    def tell_breaker(
        self, breaker: BreakerState, error: BaseException | None, *, probe: bool
    ) -> None:
        """Count an attempt that ended of itself; one that was cancelled says nothing."""
        if error is None:
            breaker.ended(self.call.run.time(), failed=False, probe=probe)
        elif not isinstance(error, CancelledError):
            failed = is_counted(error, breaker.policy)
            breaker.ended(self.call.run.time(), failed=failed, probe=probe)
        elif probe:
            breaker.withdrawn()

    def delay_after(self, error: Exception) -> float | None:
        """Give the seconds to wait before the next attempt, or `None` where there is none."""
        call, retry, run = self.call, self.policy.retry, self.call.run
        begun = call.reader is not None and call.reader.begun
        over = begun or call.dropped or run.runtime.draining
        if retry is None or call.attempts >= retry.attempts or over:
            return None
        if not self.may_repeat(error) or not is_retried(error, retry):
            return None
        if run.retries >= max(RETRIES_ALWAYS, RETRY_SHARE * run.calls):
            note(call, retries_spent=True)
            error.add_note(f"{call.name} was not retried: its run's share of retries is spent")
            return None
        asked = retry_after(error)
        draw = run.random(self.scope, f"backoff@{call.attempts}")
        delay = asked + draw.uniform(0, jitter(retry, call.attempts, asked))
        too_late = self.deadline is not None and run.time() + delay >= self.deadline
        if too_late or isinf(delay):  # a server that says "inf" wants no retry
            return None
        run.retries += 1
        return delay

    def may_repeat(self, error: Exception) -> bool:
        """Say whether another attempt cannot act twice."""
        policy = self.policy
        return policy.effect == "read" or policy.keyed or isinstance(error, NotDone)

    async def back_off(self, delay: float) -> None:
        """Wait before the next attempt, visibly, holding nothing."""
        call = self.call
        began = call.run.time()
        waiting = call.run.runtime.backing_off
        waiting[call] = began + delay
        try:
            await asyncio.sleep(delay)
        finally:
            del waiting[call]
            add_wait(call, "backoff", call.run.time() - began)


def jitter(retry: Retry, attempts: int, asked: float) -> float:
    """Give the most that is waited at random after so many attempts, on top of what was asked.

    At least as long as that: all who were refused at once are asked to wait for the same time, and
    would come back together.
    """
    return min(retry.longest, max(retry.shortest * 2.0 ** min(attempts - 1, DOUBLINGS), asked))
