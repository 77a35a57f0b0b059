"""`speculate`: the likely next call starts while the planner still runs.

Problem: a planner says which call comes next, and both in a row are slow, though the next call can
often be foretold. Method: speculative execution, as processors do it after a branch prediction
(Smith, "A Study of Branch Prediction Strategies", ISCA 1981), and as Ye and others do it for agents
("Speculative Actions", 2025): reads only, checked before use. The guess starts beside the planner;
where the planner then asks for the same (step, version, canonical arguments), it is joined, else it
is cancelled. It is no race: a guess that is done first decides nothing.
Cost: the longer of planner and guess where the guess is right, planner and call in a row where it
is not, and the guess itself for nothing.
Rejected: a guess that waits in line for a limit. It would stand before the planner's own calls, so
that, as a hedge, it takes a free slot or is not sent.
"""

from __future__ import annotations

from asyncio import sleep
from collections.abc import Iterable
from inspect import isawaitable, iscoroutine
from typing import TYPE_CHECKING, Any, TypeVar, overload
from weakref import WeakKeyDictionary

from fanwise.core import (
    LIVE,
    READS_ONLY,
    BoundStep,
    Call,
    Ending,
    FanwiseError,
    NotCanonical,
    Step,
    ask,
    excuse,
    failure_of,
    leave,
    note,
    plain_function,
    request_digest,
    waiting_call,
    whole,
)
from fanwise.patterns._branches import (
    as_call,
    excused_on_error,
    pattern_step,
    planned,
    refuse_twice,
)
from fanwise.patterns._contest import refuse_writes

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Mapping, Sequence

P = TypeVar("P")
R = TypeVar("R")

EXAMPLE = "speculate(plan(question), lookup, guess=lookup(question))"


class Asked:
    """What a guess was asked: kept apart from the call, which forgets its arguments at its end."""

    __slots__ = ("args", "digest", "kwargs", "step")

    def __init__(self, call: Call[Any]) -> None:
        """Keep it; raise `NotCanonical` where it could never be recognised."""
        self.step = call.step
        self.args = call.args
        self.kwargs = call.kwargs
        self.digest: bytes | None = None
        if call.inputs is None:
            self.digest = request_digest(call.step, call.args, call.kwargs)

    def known(self) -> bytes | None:
        """Give its digest; `None` while an input of a bound guess has not given its value."""
        if self.digest is None:
            inputs = [each for each in self.args if isinstance(each, Call)]
            if any(each.status != "ok" for each in inputs):
                return None
            values = [each.result if isinstance(each, Call) else each for each in self.args]
            self.digest = request_digest(self.step, tuple(values), self.kwargs)
        return self.digest

    def __repr__(self) -> str:
        """Name the step."""
        return f"<Asked of {self.step.name}>"


# Of guesses that the next attempt of a step above may find ended, without their arguments.
REMEMBERED: WeakKeyDictionary[Call[Any], Asked] = WeakKeyDictionary()


class Speculation:
    """The watcher behind `speculate`: the planner, its guesses, and the call that is wanted."""

    __slots__ = ("asked", "calls", "closed", "ending", "future", "joined", "owner", "planner",
                 "sent", "watched")  # fmt: skip

    closed: str
    joined: int | None

    def __init__(
        self,
        owner: Call[Any],
        planner: Call[Any],
        calls: Sequence[Call[Any]],
        asked: Sequence[Asked],
    ) -> None:
        """Guess with `calls` what `planner` will want, for the pattern call `owner`."""
        self.owner: Call[Any] | None = owner
        self.planner: Call[Any] = planner
        self.calls = calls
        self.asked = asked
        self.sent: dict[int, bool] = {}  # the places of guesses, and whether they began here
        self.watched: list[Call[Any]] = []
        self.joined = None
        self.closed = ""  # until the planner has ended
        self.ending = Ending()
        self.future: asyncio.Future[None] | None = None

    def call_ended(self, call: Call[Any]) -> None:  # noqa: ARG002 - the pattern's task looks itself
        """Wake the pattern's task."""
        if self.future is not None and not self.future.done():
            self.future.set_result(None)

    def start(self, call: Call[Any]) -> None:
        """Ask for a call."""
        owner = self.owner
        assert owner is not None  # noqa: S101 - cut when all is over
        if call.status == "new":
            call.fan_in = owner.id
        if not ask(call, self):
            self.watched.append(call)

    async def end_of(self, call: Call[Any]) -> None:
        """Wait for the end of a call that was asked for."""
        while call.status in LIVE:
            self.future = call.run.runtime.loop.create_future()
            await self.future

    async def value(self, call: Call[Any]) -> Any:  # noqa: ANN401 - of any call
        """Ask for a call, and give its value or raise its error."""
        self.start(call)
        await self.end_of(call)
        return result_of(call)

    async def plan(self, at_once: int | None) -> Any:  # noqa: ANN401 - the planner's value
        """Run the planner, and beside it the guesses; give its value or raise its error."""
        self.start(self.planner)
        for place, call in enumerate(self.calls[: None if at_once is None else at_once - 1]):
            await sleep(0)  # what was started takes its slots first
            if self.planner.status not in LIVE:
                break  # done at once: nothing is left to be gained
            self.send(place, call)
        await self.end_of(self.planner)
        self.closed = "planner failed"
        return result_of(self.planner)

    def send(self, place: int, call: Call[Any]) -> None:
        """Start a guess where it has room; a write below it is refused."""
        owner = self.owner
        assert owner is not None  # noqa: S101 - as in `start`
        mine = call.status == "new"
        if mine and not owner.run.runtime.has_room(call.step):
            return
        token = READS_ONLY.set(f"a guess of {owner.name}")
        try:
            self.start(call)
        except FanwiseError:
            return  # let go by others, or it waits for the pattern itself: no guess any more
        finally:
            READS_ONLY.reset(token)
        self.sent[place] = mine
        if mine and call.status in LIVE:
            note(call, guess=place)

    async def answer(self, wanted: Any) -> Any:  # noqa: ANN401 - a call, or the value itself
        """Give what is wanted: by the guess that is equal, or by the call itself."""
        self.closed = "no call"
        place = None
        if isinstance(wanted, Call):
            self.closed = "other call"
            place = self.find(wanted)
        guess = None if place is None else self.calls[place]
        self.let_go(but=guess)
        if guess is None or place is None:
            self.count()
            return await self.value(wanted) if isinstance(wanted, Call) else wanted
        if wanted is not guess:
            excuse(wanted)
        if place not in self.sent:  # it has the identity under which a journal knows it
            self.closed = "not sent"
            self.count()
            return await self.value(guess if guess.status in ("new", "ok") else wanted)
        return await self.join(place, guess, wanted)

    async def join(self, place: int, guess: Call[Any], wanted: Call[Any]) -> Any:  # noqa: ANN401
        """Give the value of the right guess; where it failed, that of the call itself."""
        self.closed = "joined"
        self.joined = place
        await self.end_of(guess)
        if guess.status != "ok":
            self.closed = "guess failed"
        self.count()
        return guess.result if guess.status == "ok" else await self.value(wanted)

    def find(self, wanted: Call[Any]) -> int | None:
        """Give the place of the guess that is equal to the call that the planner wants."""
        if wanted in self.calls:
            return self.calls.index(wanted)
        step = wanted.step
        if wanted.status != "new" or wanted.inputs is not None or not is_plain_read(wanted):
            return None
        digest: bytes | None = None
        for place, asked in enumerate(self.asked):
            if (asked.step.name, asked.step.policy.version) != (step.name, step.policy.version):
                continue
            try:
                digest = digest or request_digest(step, wanted.args, wanted.kwargs)
                if asked.known() == digest:
                    return place
            except NotCanonical:
                self.closed = "not comparable"
        return None

    def count(self) -> None:
        """Let the runtime know whether a guess was right."""
        owner = self.owner
        if self.sent and owner is not None:
            joined, failed = self.closed == "joined", self.closed == "guess failed"
            guesses = owner.run.runtime.guesses
            guesses.count(owner.plan_name, len(self.sent), joined=joined, failed=failed)

    def let_go(self, but: Call[Any] | None = None) -> None:
        """Leave every call that still runs but one; a guess that was not sent never runs."""
        for call in self.calls:
            if call is not but and call.status == "new":
                excuse(call)
        for call in self.watched:
            if call is not but and leave(call, self):
                self.ending.add(call)

    async def close(self) -> None:
        """Leave everything, await what that cancels, and say what was decided."""
        self.let_go()
        if self.closed and self.owner is not None:
            used = self.joined if self.closed == "joined" else None
            wasted = sum(mine for place, mine in self.sent.items() if place != used)
            note(self.owner, closed=self.closed, wasted=wasted)
            if self.joined is not None:
                note(self.owner, joined=self.joined)
        # The traceback of a failed function holds this watcher.
        ending, self.owner, self.calls, self.asked = self.ending, None, (), ()
        self.watched.clear()
        if ending.open:
            await ending.wait()

    def __repr__(self) -> str:
        """Count."""
        return f"<Speculation of {len(self.calls)} guesses, {len(self.sent)} sent>"


def result_of(call: Call[Any]) -> Any:  # noqa: ANN401 - the value of any call
    """Give the value of a call that has ended, or raise its error."""
    if call.status == "ok":
        return call.result
    error, trace = failure_of(call)
    try:
        raise error.with_traceback(trace)
    finally:
        del error, trace, call


def is_plain_read(call: Call[Any]) -> bool:
    """Say whether a call is of a step of the user's own, and may be repeated."""
    step = call.step
    return step.pattern is None and not step.owns_arguments and not step.writes


def wanted_by(then: Callable[[Any], Any], value: Any) -> Any:  # noqa: ANN401 - anything
    """Give the call, or the value, that follows from the planner's value."""
    wanted = then(value)
    if isinstance(wanted, Call):
        return wanted
    cure = ""
    if isinstance(wanted, (Step, BoundStep)):
        cure = "call it, such as lookup(value)"
    elif isawaitable(wanted):
        cure = "only a call can be compared with a guess: make a step of what gives it"
        if iscoroutine(wanted):
            wanted.close()
    elif isinstance(wanted, (list, tuple)) and any(isinstance(each, Call) for each in wanted):
        for each in wanted:
            if isinstance(each, Call):
                excuse(each)
        cure = "for several calls give fan_out(*calls)"
    if cure:
        msg = f"then gives a call, or a value where none is wanted, and gave {wanted!r}: {cure}"
        raise TypeError(msg)
    return wanted


async def _speculate(
    planner: Call[Any],
    then: Callable[[Any], Any],
    calls: tuple[Call[Any], ...],
    asked: Sequence[Asked],
    schedule: Mapping[str, Any],
) -> Any:  # noqa: ANN401 - what the planner wants
    call = waiting_call()
    assert call is not None  # noqa: S101 - the body of a pattern's call
    with excused_on_error([planner, *calls]):
        at_once = planned(call, schedule)["at_once"]
        if at_once is not None:
            whole("at_once", at_once, 1)
    speculation = Speculation(call, planner, calls, asked)
    try:
        value = await speculation.plan(at_once)
        speculation.closed = "then failed"
        return await speculation.answer(wanted_by(then, value))
    finally:
        await speculation.close()


SPECULATE = pattern_step(_speculate, "speculate")


@overload
def speculate(
    planner: Call[P] | Awaitable[P],
    then: Callable[[P], Call[R]],
    *,
    guess: Call[object] | Iterable[Call[object]],
) -> Call[R]: ...
@overload
def speculate(
    planner: Call[P] | Awaitable[P],
    then: Callable[[P], Call[R] | R],
    *,
    guess: Call[object] | Iterable[Call[object]],
) -> Call[R]: ...
def speculate(
    planner: Any,
    then: Callable[[Any], Any],
    *,
    guess: Call[Any] | Iterable[Call[Any]],
) -> Call[Any]:
    """Start the likely next call while the planner still runs; `then(value)` says what is wanted.

    Where that is equal to a guess (step, version, canonical arguments), the guess is joined, done
    or not; one that failed counts for nothing, and the call itself runs. Every other guess is
    cancelled and awaited. A `then` that gives no call gives the result itself. Guesses are reads,
    also below (`WriteRefused`), their arguments canonical (`NotCanonical`); one without a free slot
    is not sent. Cancelled, it leaves its calls, and awaits those that nobody else waits for.
    """
    guesses = [guess] if isinstance(guess, Call) else _listed(guess)
    with excused_on_error([each for each in (planner, *guesses) if isinstance(each, Call)]):
        check_then(then)
        check_guesses(planner, guesses)
        refuse_writes(guesses, "speculate")
        asked = [asked_of(place, each) for place, each in enumerate(guesses)]
        refuse_equal(asked)
        plan = as_call(planner, "planner")
    return Call(SPECULATE, (plan, then, tuple(guesses), asked, {"at_once": None}), {})


def _listed(guess: Any) -> list[Any]:  # noqa: ANN401 - whatever was given
    if isinstance(guess, Iterable) and not isawaitable(guess):
        return list(guess)
    return [guess]


def check_then(then: object) -> None:
    """Raise where `then` is no function that gives a call."""
    if not isinstance(then, (Step, BoundStep)):
        plain_function("then", then)
    if not callable(then) or isinstance(then, Call):
        if isinstance(then, Call):
            excuse(then)
        msg = f"then is a function of the planner's value that gives a call, got {then!r}"
        raise TypeError(f"{msg}; such as {EXAMPLE}")


def check_guesses(planner: object, guesses: Sequence[Any]) -> None:
    """Raise where a guess is none."""
    if not guesses:
        msg = f"guess is empty: without one, await the planner and then the call; such as {EXAMPLE}"
        raise ValueError(msg)
    for each in guesses:
        if not isinstance(each, Call):
            if iscoroutine(each):
                each.close()
            msg = f"guess takes calls of steps, which can be compared, got {each!r}"
            raise TypeError(f"{msg}; such as {EXAMPLE}")
    if planner in guesses:
        msg = f"guess has the planner {planner!r} itself: it runs anyway"
        raise ValueError(msg)
    refuse_twice(guesses, "speculate")


def asked_of(place: int, call: Call[Any]) -> Asked:
    """Give what a guess was asked; raise where that cannot be known."""
    if call.step.pattern is not None or call.step.owns_arguments:
        msg = f"guess {place + 1} is {call!r}: only the call of a step can be compared with another"
        raise TypeError(f"{msg}; put a step around it")
    known = REMEMBERED.get(call)
    if known is not None:
        return known
    if call.status != "new" and call.status not in LIVE:
        msg = f"guess {place + 1}, {call!r}, has ended, and what it was asked is gone"
        raise ValueError(f"{msg}: make the guess anew")
    asked = Asked(call)
    if call.key is not None:
        REMEMBERED[call] = asked
    return asked


def refuse_equal(asked: Sequence[Asked]) -> None:
    """Raise where two guesses ask the same."""
    seen: dict[bytes, int] = {}
    for place, each in enumerate(asked):
        before = place if each.digest is None else seen.setdefault(each.digest, place)
        if before != place:
            msg = (
                f"guess {before + 1} and guess {place + 1} ask the same of {each.step.name}: "
                "one call does for both"
            )
            raise ValueError(msg)
