"""Failover: one question's way through the deployments of a name, until one of them answers.

Problem: an outage of one deployment, a used-up key or a slow region is no reason to fail where
another one would answer; and an outage that is known is no reason to try.
Method: every deployment has a limit and a breaker of its own, which the engine keeps. Each question
looks at them, without taking anything, and is asked of one as a call: of the first tier in which
one would go ahead at once the least loaded, before it the one that is likely to have its beginning
cached (rendezvous hashing, Thaler and Ravishankar, 1998: no memory, and the same in every process),
and before that one whose breaker wants a probe. Where that fails in a way that another may not, the
next is asked, each once a round. Where none has room, the question waits in the line of the least
loaded; what changes there (a pause, an open breaker, room elsewhere) has it choose again.
Cost: a look at each deployment of a tier, and one more call.
Rejected: weights and latencies (limits say what there is, and the load shows what is slow); to wait
in all lines at once (as many calls, and rows, as there are deployments); a breaker of its own (the
engine has one); to hold a failure against a deployment before its breaker does (a second breaker).
"""

from __future__ import annotations

from asyncio import get_running_loop
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast
from zlib import crc32

from fanwise.core import (
    LIVE,
    BreakerOpen,
    DeadlinePassed,
    Ending,
    LimitTooSlow,
    LimitTooSmall,
    ask,
    failure_of,
    http_status,
    is_hedge,
    is_transient,
    leave,
    note,
    waiting_call,
)
from fanwise.core._transient import OVERLOADED
from fanwise.models._chat import Chat
from fanwise.models._deployments import REFUSED_HERE, names_of, short, unknown

if TYPE_CHECKING:
    from asyncio import Future
    from collections.abc import AsyncGenerator, Callable, Mapping

    from fanwise.core import Call, Runtime, Stream, StreamCall
    from fanwise.core._standing import Standing
    from fanwise.models._chat import Asked
    from fanwise.models._deployments import Deployment, Manner, Names, Tiers

CACHED_FROM: Final = 4096  # characters, a little less than what providers keep of a beginning
TOLD: Final = 16  # who wait, of whom the first who can takes the room that came free
NOW, PROBE, WAIT = range(3)  # asked at once; at once, but it may fail; in a line


class NoneAnswered(ConnectionError):
    """No deployment of a name answered; it may pass and is retried where the name has `retry`.

    `causes` says of each what was wrong, by its name; `retry_after` is the wait until one of them
    may be asked again, in seconds.
    """

    causes: Mapping[str, str]
    retry_after: float

    def __init__(self, message: str, causes: Mapping[str, str], retry_after: float) -> None:
        """Keep the story beside the message."""
        super().__init__(message)
        self.causes = causes
        self.retry_after = retry_after


class Turn:
    """One deployment's call, and the question that waits for it: until it ends, or is to leave."""

    __slots__ = ("call", "future", "left", "owner", "told")

    future: Future[None]

    def __init__(self, call: Call[Any], owner: Call[Any]) -> None:
        """Wait for `call` in the body of `owner`."""
        self.call = call
        self.owner = owner
        self.told = self.left = False

    def call_ended(self, call: Call[Any]) -> None:  # noqa: ARG002 - the one that is known
        """Wake who waits."""
        if not self.future.done():
            self.future.set_result(None)

    def go(self) -> None:
        """Have it leave, unless it is admitted on this instant."""
        self.told = True
        if not self.future.done():
            self.future.set_result(None)

    async def over(self) -> None:
        """Wait until the call has ended; cancelled, or told to go, leave it and await its end."""
        call = self.call
        try:
            if not ask(call, self):
                await self._ended_or_told()
        finally:
            if call.status in LIVE and leave(call, self):
                await Ending(call).wait()

    async def _ended_or_told(self) -> None:
        while self.call.status in LIVE:
            self.left = self.told and not self.call.attempts
            if self.left:
                return
            self.future = get_running_loop().create_future()
            await self.future

    def __repr__(self) -> str:
        """Name the call."""
        return f"<Turn of {self.call!r}>"


class Rank(NamedTuple):
    """Where a deployment stands among all for one question; the least is asked."""

    when: int
    tier: int
    no_probe: bool
    not_favoured: bool
    load: float
    in_flight: int
    asked: int

    @property
    def probe(self) -> bool:
        """Whether its breaker is to be probed."""
        return not self.no_probe


class Round:
    """One attempt of a question at a name: whom it has asked, and what was wrong."""

    __slots__ = ("again", "args", "beside", "causes", "first", "hedge", "kind", "last", "manner",
                 "mark", "own", "paid", "passing", "probing", "runtime", "tiers",
                 "tried")  # fmt: skip

    beside: set[Deployment]  # where other attempts of the same question are, or were
    first: BaseException | None  # of those after which another one was asked
    last: BaseException | None  # after which nobody else was

    def __init__(self, asked: Question) -> None:
        """Begin, in the body of the name's own call."""
        own = waiting_call()
        assert own is not None  # noqa: S101 - the body of a step
        self.own = own
        self.runtime: Runtime = own.run.runtime
        names = names_of(self.runtime)
        self.tiers: Tiers = tiers_of(asked.name, names)
        self.kind, self.manner, self.args, self.mark = asked[1:]
        self.hedge = is_hedge()
        self.tried: dict[Deployment, None] = {}
        self.causes: dict[str, str] = {}
        self.paid = 0  # attempts that failed
        self.passing = False  # whether anything of what is in the way may pass
        self.probing = False  # whether it is to go ahead of others, to an open breaker
        self.again = False  # whether it left a line
        self.first = self.last = None
        self.beside = set()
        if own.policy.hedge is not None and names is not None:
            if not self.hedge:
                names.beside[own] = set()
            self.beside = names.beside.setdefault(own, set())

    def next(self) -> tuple[Deployment, Call[Any]] | None:
        """Choose who is asked next, and make the call; `None` where nobody is left."""
        best = self._best()
        if best is None:
            return None
        rank, deployment = best
        self.probing = rank.probe
        return deployment, deployment.call(self.kind, self.manner, self.args)

    def _best(self) -> tuple[Rank, Deployment] | None:
        best: tuple[Rank, Deployment] | None = None
        for number, tier in enumerate(self.tiers):
            favoured = self._favoured(tier)
            for deployment in tier:
                if deployment in self.tried or (self.hedge and deployment in self.beside):
                    continue
                rank = self._rank(deployment, number, favoured=deployment is favoured)
                if rank is not None and (best is None or rank < best[0]):
                    best = rank, deployment
            if best is not None and best[0].when == NOW:
                break
        return best

    def moves(self, deployment: Deployment) -> bool:
        """Say whether to leave the line of a deployment: for room, a shorter line, or an error."""
        here = self._standing(deployment)
        best = self._best()
        if best is None or here.open:
            return here.open
        rank, other = best
        return other is not deployment and (rank.when != WAIT or rank.load < here.load)

    def _standing(self, deployment: Deployment) -> Standing:
        return deployment.standing(self.runtime, self.kind, self.manner, self.args)

    def _rank(self, deployment: Deployment, tier: int, *, favoured: bool) -> Rank | None:
        """Give where a deployment stands among all, the least first; `None` where it is out."""
        how = self._standing(deployment)
        if how.open:
            last = f"; last: {deployment.last}" if deployment.last else ""
            left = f"left alone for {how.retry_in:.3g} s more"
            self.causes[deployment.name] = (left if how.retry_in else "it is being probed") + last
            self.passing = True
            return None
        busy = how.load >= 1
        if self.hedge and (busy or how.probe):
            return None
        when = WAIT if busy else PROBE if how.probe and self.paid else NOW
        tier = 0 if busy else tier
        return Rank(
            when, tier, busy or not how.probe, not favoured, how.load, deployment.in_flight,
            deployment.asked,
        )  # fmt: skip

    def _favoured(self, tier: tuple[Deployment, ...]) -> Deployment | None:
        """Give the deployment that is likely to have the beginning of the question cached."""
        mark = self.mark
        if not mark or len(tier) == 1:
            return None
        return max(tier, key=lambda each: hash((mark, each.salt)))

    def begun(self, deployment: Deployment, call: Call[Any], go: Callable[[], None]) -> None:
        """Take note of a call that begins now; `go` has it leave its line."""

        def choose_again() -> bool:
            moves = self.moves(deployment)
            if moves:
                go()
            return moves

        deployment.begun(call, choose_again, probe=self.probing)
        if self.own.policy.hedge is not None:
            self.beside.add(deployment)
        if self.again:
            self._stir()

    def ended(self, deployment: Deployment, call: Call[Any], *, left: bool) -> None:
        """Take note of its end, and let those who wait know what that changes."""
        deployment.ended(call)
        self.again = left
        if left:
            return
        error = None if call.id is None else call.error  # which never began
        if call.status == "ok":
            note(self.own, deployment=deployment.name)
            model = (call.facts or {}).get("model")
            if model is not None:
                note(self.own, model=model)
        elif (error is not None and http_status(error) in OVERLOADED) or (
            self._standing(deployment).open
        ):
            for choose_again in deployment.waiting():
                choose_again()
        self._stir()

    def goes_on(self, deployment: Deployment, call: Call[Any], *, left: bool) -> bool:
        """Say whether to ask another deployment after one that did not answer."""
        if left:
            return True
        error, trace = failure_of(call)
        error = error.with_traceback(trace)
        refused = isinstance(error, (BreakerOpen, LimitTooSlow, LimitTooSmall))
        passing = not refused and is_transient(error)
        elsewhere = refused or passing or http_status(error) in REFUSED_HERE
        if isinstance(error, DeadlinePassed) or not elsewhere:
            self.last = error
            return False
        self.tried[deployment] = None
        self.causes[deployment.name] = short(error)
        self.passing = self.passing or passing or isinstance(error, BreakerOpen)
        self.first = self.first or error
        if call.attempts:
            self.paid += 1
            note(self.own, failed_over=self.paid)
        return True

    def given_up(self) -> BaseException:
        """Give what is raised: what ended the round, or why nobody is left."""
        if self.last is not None:
            return self.last
        if not self.passing and self.first is not None:
            for name, cause in self.causes.items():
                self.first.add_note(f"{self.own.name}: {name}: {cause}")
            return self.first
        if self.hedge and not self.causes:
            return NoneAnswered(f"{self.own.name}: no other deployment has room", {}, 0.0)
        every = [each for tier in self.tiers for each in tier]
        soonest = min(self._standing(each).retry_in for each in every)
        lines = "".join(f"\n  {name}: {cause}" for name, cause in self.causes.items())
        msg = f"{self.own.name}: none of {len(every)} deployments answered{lines}"
        error = NoneAnswered(msg, self.causes, soonest)
        error.__cause__ = self.first
        return error

    def close(self) -> None:
        """Refer to no error any more, of which this stands in the traceback."""
        self.first = self.last = None

    def _stir(self) -> None:
        """Have one question choose again for each deployment that has room while others wait."""
        every = [each for tier in self.tiers for each in tier]
        if not any(each.arriving() for each in every):
            return
        for each in every:
            here = self._standing(each)
            if not here.open and here.load < 1:
                others = (other for other in every if other is not each)
                waiting = (again for other in others for again in other.waiting())
                any(again() for again in islice(waiting, TOLD))

    def __repr__(self) -> str:
        """Name the question."""
        return f"<Round of {self.own!r}, {len(self.tried)} tried>"


class Question(NamedTuple):
    """What a name is asked: which step of its deployments, how, and with what.

    `mark` stands for the beginning that a provider may have cached; 0 for none.
    """

    name: str
    kind: str
    manner: Manner
    args: tuple[Any, ...]
    mark: int = 0


async def answered(asked: Question) -> Any:  # noqa: ANN401 - the step's value
    """Ask one deployment after the other, until one answers or none is left.

    Raises what a deployment raised that would fail everywhere, and `NoneAnswered`.
    """
    way = Round(asked)
    error: BaseException | None = None
    try:
        found = await _found(way)
        if found is not None:
            return found[0]
        error = way.given_up()
        raise error
    finally:
        way.close()
        del way, error  # which lead to each other: this frame stands in the error's traceback


async def _found(way: Round) -> tuple[Any] | None:
    while (chosen := way.next()) is not None:
        deployment, call = chosen
        turn = Turn(call, way.own)
        way.begun(deployment, call, turn.go)
        try:
            await turn.over()
        finally:
            way.ended(deployment, call, left=turn.left)
        if call.status == "ok":
            return (call.result,)
        if not way.goes_on(deployment, call, left=turn.left):
            break
    return None


async def streamed(asked: Question) -> AsyncGenerator[Any]:
    """Give the items of the first deployment that gives any; what fails after that is raised."""
    way = Round(asked)
    error: BaseException | None = None
    call: StreamCall[Any] | None = None
    try:
        while (chosen := way.next()) is not None:
            deployment, call = chosen[0], cast("StreamCall[Any]", chosen[1])
            leaving = Leaving()
            try:
                way.begun(deployment, call, leaving.go)
                async with call as items:
                    leaving.stream = items
                    if await items.arrives():
                        async for item in items:
                            yield item
            finally:
                way.ended(deployment, call, left=leaving.left)
            if call.status == "ok":
                return
            if not way.goes_on(deployment, call, left=leaving.left):
                break
        error = way.given_up()
        raise error
    finally:
        way.close()
        chosen = call = None
        del way, error  # as above


class Leaving:
    """How the reader of a stream that has not begun is made to leave its line."""

    __slots__ = ("left", "stream")

    stream: Stream[Any]

    def __init__(self) -> None:
        """Stay, for now."""
        self.left = False

    def go(self) -> None:
        """Close the stream: its reader then finds that it was dropped."""
        self.left = True
        self.stream.close()

    def __repr__(self) -> str:
        """Say whether it is to leave."""
        return f"<Leaving {self.left}>"


def tiers_of(name: str, names: Names | None) -> Tiers:
    """Give what a name stands for; raise ValueError where that is nothing."""
    if names is None:
        raise unknown(name, {})
    return names.of(name)


def beginning(asked: Asked) -> int:
    """Give a number for the beginning of a question, if a provider may keep it; else 0.

    The beginning is the system text and what is shared; where they are short, with the first
    message, so that a conversation goes on where it began.
    """
    if isinstance(asked, str):
        return _mark(asked) if len(asked) >= CACHED_FROM else 0
    if not isinstance(asked, Chat):
        return _mark(asked.shared) if len(asked.shared) >= CACHED_FROM else 0
    size = len(asked.system) + len(asked.shared)
    if size >= CACHED_FROM:
        return _mark(asked.system, asked.shared)
    said = asked.messages[0].text if asked.messages else ""
    return _mark(asked.system, asked.shared, said) if size + len(said) >= CACHED_FROM else 0


@lru_cache(64)
def _mark(*texts: str) -> int:
    return crc32("\0".join(texts).encode(errors="surrogatepass")) or 1
