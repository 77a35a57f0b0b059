"""`vote`: the answer that most of several calls give, asked until it is clear who leads.

Calls are asked in waves. At each answer the rule of `_agreement` is judged; when it says that the
leader will stay the leader, the rest of the wave is cancelled and no other wave starts. A larger
wave is sooner done, and pays for a few votes more than the rule needs.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from inspect import isawaitable
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from fanwise.core import (
    READS_ONLY,
    Call,
    FanIn,
    NotEnough,
    at_least,
    note,
    plain_function,
    waiting_call,
    whole,
)
from fanwise.patterns._agreement import agreed
from fanwise.patterns._branches import as_calls, excused_on_error, pattern_step, planned
from fanwise.patterns._contest import Contest, refuse_writes

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

MAJORITY = 0.5  # a leader's share up to which its vote is reported as low agreement
EXAMPLE = "vote([ask(question) for _ in range(8)])"

log = logging.getLogger("fanwise")


class Vote(Generic[T_co]):
    """What a vote came to. A share is not a confidence: voters that err alike agree, too.

    `answer` is the value of the first voter, by position, of the answer with most votes; `counts`
    has the votes of each answer (with `key`, of each key), most first; `tied` says whether another
    has as many. `asked` calls were started; `found` has every branch's outcome. `stopped_early`
    says that the rule was met before all had answered.
    """

    __slots__ = ("answer", "asked", "counts", "found", "stopped_early", "tied")

    answer: T_co
    asked: int
    counts: Mapping[Hashable, int]
    found: FanIn[T_co]
    stopped_early: bool
    tied: bool

    def __init__(
        self,
        answer: T_co,
        counts: Mapping[Hashable, int],
        found: FanIn[T_co],
        *,
        asked: int,
        stopped_early: bool,
    ) -> None:
        """Keep the answer and the votes, most first."""
        most, *others = counts.values()
        self.answer = answer
        self.counts = MappingProxyType(counts)
        self.found = found
        self.asked = asked
        self.stopped_early = stopped_early
        self.tied = bool(others) and others[0] == most

    @property
    def votes(self) -> int:
        """How many votes were counted."""
        return sum(self.counts.values())

    @property
    def share(self) -> float:
        """The part of the counted votes that `answer` has, from above 0 to 1."""
        return max(self.counts.values()) / self.votes

    @property
    def warning(self) -> str:
        """Low agreement in words: no answer has more than half of the votes; else empty."""
        if self.share > MAJORITY:
            return ""
        tie = ", and there is a tie" if self.tied else ""
        return (
            f"low agreement: no answer has more than half of {self.votes} votes{tie}; the question "
            "may be too open for a vote"
        )

    def __str__(self) -> str:
        """Say who won by how much, warn of low agreement, and give each lost vote a line."""
        most, early = max(self.counts.values()), ", stopped early" if self.stopped_early else ""
        head = (
            f"{self.answer!r} by {most} of {self.votes} votes, "
            f"{self.asked} of {len(self.found)} asked{early}"
        )
        lost = [f"  {o!r}" for o in self.found if o.status in ("failed", "timed_out")]
        return "\n".join([head, *([f"  {self.warning}"] if self.warning else []), *lost])

    def __repr__(self) -> str:
        """Count."""
        most = max(self.counts.values())
        return f"<Vote {self.answer!r} by {most} of {self.votes}, {self.asked} asked>"


class Poll(Contest):
    """The watcher behind `vote`."""

    __slots__ = ("ballots", "counts", "key", "stop_at")

    def __init__(
        self,
        owner: Call[Any],
        calls: Sequence[Call[Any]],
        key: Callable[[Any], Hashable] | None,
        stop_at: float | None,
    ) -> None:
        """Ask `calls` for the pattern call `owner`."""
        super().__init__(owner, calls)
        self.key = key
        self.stop_at = stop_at
        self.counts: dict[Hashable, int] = {}
        self.ballots: dict[int, Hashable] = {}  # what was counted, by the voter's place

    async def hold(self, wave: int | None) -> None:
        """Ask wave after wave until the rule is met, or all have answered."""
        while self.next < len(self.calls) and not self.decided():
            until = len(self.calls) if wave is None else self.next + wave
            while self.next < min(until, len(self.calls)) and not self.decided():
                self.ask_next()
            while self.running and not self.decided():
                self.future = self.future.get_loop().create_future()
                await self.future

    def decided(self) -> bool:
        """Say whether the rule is met by everything that has reported so far."""
        if self.stop_at is None or not self.counts:
            return False
        leader, *others = sorted(self.counts.values(), reverse=True)
        return agreed(leader, others[0] if others else 0, self.stop_at)

    def call_ended(self, call: Call[Any]) -> None:
        """Count a vote; wake the pattern's task where that settles the matter, or ends a wave."""
        self.hear(call)
        if not self.running or self.decided():
            self.wake()

    def hear(self, call: Call[Any]) -> None:
        """Count the answer of a branch that has one."""
        self.running -= 1
        if call.status != "ok":
            self.first_failure = self.first_failure or call.error
            return
        index = self.places[call]
        try:
            ballot = ballot_of(call, self.key)
            self.counts[ballot] = self.counts.get(ballot, 0) + 1
            self.ballots[index] = ballot
        except Exception as error:  # noqa: BLE001 - of the key: this vote is lost
            self.reject(index, error)

    def result(self, statuses: Mapping[int, str], *, early: bool) -> Vote[Any]:
        """Give the vote; raise `NotEnough` where nobody answered."""
        asked = len(self.calls) - sum(status == "skipped" for status in statuses.values())
        found = self.found(statuses, "enough others agreed" if early else "")
        if not self.ballots:
            name = self.owner.name  # type: ignore[union-attr]
            msg = f"{name}: none of {len(self.calls)} gave a vote\n{found}"
            raise NotEnough(msg, found) from self.first_failure
        firsts: dict[Hashable, int] = {}
        for index in sorted(self.ballots):
            firsts.setdefault(self.ballots[index], index)
        # Sorting is stable: of a tie comes first whose first voter stands first.
        order = sorted(firsts, key=self.counts.__getitem__, reverse=True)
        counts = {ballot: self.counts[ballot] for ballot in order}
        answer = self.calls[firsts[order[0]]].result
        return Vote(answer, counts, found, asked=asked, stopped_early=early)


def ballot_of(call: Call[Any], key: Callable[[Any], Hashable] | None) -> Hashable:
    """Give what a branch's value is counted as; raise where that cannot be counted."""
    ballot: Hashable = call.result if key is None else key(call.result)
    try:
        hash(ballot)
    except TypeError as error:
        cure = (
            "say what counts with key=, such as vote(calls, key=str)"
            if key is None
            else "key= gives something hashable, such as a string"
        )
        msg = f"{call.name}: a vote for {ballot!r} cannot be counted ({error}): {cure}"
        raise TypeError(msg) from None
    return ballot


async def _vote(
    calls: tuple[Call[Any], ...],
    key: Callable[[Any], Hashable] | None,
    schedule: Mapping[str, Any],
) -> Vote[Any]:
    call = waiting_call()
    assert call is not None  # noqa: S101 - the body of a pattern's call
    with excused_on_error(calls):
        plan = planned(call, schedule)
        check_rule(plan["stop_at"], plan["wave"])
    READS_ONLY.set(call.name)
    poll = Poll(call, calls, key, plan["stop_at"])
    try:
        vote = await _held(poll, call, plan["wave"])
    finally:
        poll.close()
    if vote.warning:
        log.warning("%s: %s", call.name, vote.warning)
    return vote


async def _held(poll: Poll, call: Call[Any], wave: int | None) -> Vote[Any]:
    early = False
    try:
        await poll.hold(wave)
        early = bool(poll.running) or poll.next < len(poll.calls)
    finally:
        statuses = await poll.let_go()
    closed = "enough" if early else "all"
    note(call, gaps=len(statuses), closed=closed, votes=len(poll.ballots))
    return poll.result(statuses, early=early)


VOTE = pattern_step(_vote, "vote")


def check_rule(stop_at: float | None, wave: int | None) -> None:
    """Raise, naming the argument, where a vote could not be held so."""
    if stop_at is not None:
        at_least("stop_at", stop_at, 0.5)
        if stop_at > 1:
            msg = (
                "stop_at is a probability from 0.5 to 1, such as 0.95 (None: ask all), "
                f"got {stop_at}"
            )
            raise ValueError(msg)
    if wave is not None:
        whole("wave", wave, 1)


@overload
def vote(
    calls: Iterable[Call[T]], *,
    key: Callable[[T], Hashable] | None = ..., stop_at: float | None = ..., wave: int | None = ...,
) -> Call[Vote[T]]: ...  # fmt: skip
@overload
def vote(
    calls: Iterable[Call[T] | Awaitable[T]], *,
    key: Callable[[T], Hashable] | None = ..., stop_at: float | None = ..., wave: int | None = ...,
) -> Call[Vote[T]]: ...  # fmt: skip
def vote(
    calls: Iterable[Any],
    *more: Any,
    key: Callable[[Any], Hashable] | None = None,
    stop_at: float | None = 0.95,
    wave: int | None = 4,
) -> Call[Vote[Any]]:
    """Ask calls the same, and give the answer that most of them give, as a `Vote`.

    `wave` calls run at once (`None`: all), the next ones when these have answered. As soon as the
    leader would stay ahead of the runner-up with probability `stop_at`, from 0.5 (Beta rule; four
    unanimous votes meet 0.95; `None`: ask all), the rest is cancelled and awaited. `key` says what
    a value is counted as. A failed call is a gap, not a vote; without any vote it raises
    `NotEnough`. Writes are refused with `WriteRefused`, below a branch too. Cancelled, it leaves
    its branches, and those that nobody else waits for are cancelled and awaited.
    """
    branches = as_calls(_listed(calls, more), "vote")
    if not branches:
        msg = f"vote(calls) takes at least one call, such as {EXAMPLE}, got none"
        raise ValueError(msg)
    with excused_on_error(branches):
        check_rule(stop_at, wave)
        refuse_writes(branches, "vote")
        plain_function("key", key)
        if key is not None and not callable(key):
            msg = f"key is a function of a value, such as str.lower, got {key!r}"
            raise TypeError(msg)
    return Call(VOTE, (branches, key, {"stop_at": stop_at, "wave": wave}), {})


def _listed(calls: Iterable[Any], more: tuple[Any, ...]) -> list[Any]:
    """Give the branches; what is no list of them is refused, and nobody warns of it."""
    alone = isawaitable(calls) or not isinstance(calls, Iterable)
    if not alone and not more:
        return list(calls)
    given = (calls, *more)
    msg = f"vote takes the calls as one list, such as {EXAMPLE}, got {', '.join(map(repr, given))}"
    with excused_on_error(as_calls([each for each in given if isawaitable(each)], "vote")):
        raise TypeError(msg)
