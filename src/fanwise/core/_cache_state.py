"""What a runtime keeps for a step with `Cache`, and calls that share one that runs.

Problem: equal calls should be paid for once, also those that are made while the first one runs
(a fan-out over ten equal questions, a cold start), and what is kept must be bounded, right and
young enough.
Method: a dict in order of last use (least recently used goes first), each entry with the instant at
which it is too old, on the loop's clock, looked at only when it is asked for; and one flight a key,
as `singleflight` in Go's groupcache: the first call leads, equal ones follow. A flight whose leader
fails, is cancelled, or makes what may not be kept goes on under the follower that came first, so
that nobody fails of another's deadline or bad luck. The price: n equal calls of what always fails
fail one after the other, each within its own deadline. Every operation is O(1).
The key is the digest of step, version and arguments (see `request_digest`), without parent, place
and run: the journal's key tells equal calls apart, a cache's must not.
Rejected: to let followers watch the leader's call (it would outlive the run that made it), and a
timer an entry (a wide fan-out would leave as many behind).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fanwise.core._errors import CallSkipped, FanwiseError
from fanwise.core._frozen import Frozen
from fanwise.core._identity import request_digest
from fanwise.core._record import add_wait, note
from fanwise.core._watchers import refuse_circles

if TYPE_CHECKING:
    from asyncio import Future

    from fanwise.core._call import Call
    from fanwise.core._policies import Cache
    from fanwise.core._step import Definition

    Caches = dict[tuple[str, object, Cache], "CacheState"]  # by name of the step, its maker, policy


MOST = 1000  # steps with a cache
WHOLE = frozenset({"stop", "tools"})  # how an answer ends that is not cut, told with its usage


class CacheStatistics(Frozen):
    """A step's cache at one instant: results kept, and what became of the calls so far.

    `hits` were answered by a result that was kept, `joined` by an equal call that ran, `misses`
    ran themselves. Of the results, `refused` were not kept for what they are, `evicted` were
    forgotten for want of room, `expired` were found too old.
    """

    name: str
    kept: int
    hits: int
    joined: int
    misses: int
    refused: int
    evicted: int
    expired: int


class Flight:
    """Equal calls, of which one runs: who leads, and who waits for its value, in order."""

    __slots__ = ("followers", "leader")

    followers: dict[Call[Any], Future[tuple[Any] | None]]
    leader: Call[Any]

    def __init__(self, leader: Call[Any]) -> None:
        """Let `leader` run alone."""
        self.leader = leader
        self.followers = {}

    def __repr__(self) -> str:
        """Name the leader, count the others."""
        return f"<Flight of {self.leader!r}, {len(self.followers)} follow>"


class CacheState:
    """The results and flights of one step, over a runtime's life."""

    __slots__ = ("entries", "evicted", "expired", "flights", "hits", "joined", "misses", "name",
                 "policy", "refused")  # fmt: skip

    entries: dict[bytes, tuple[Any, float | None]]
    evicted: int
    expired: int
    flights: dict[bytes, Flight]
    hits: int
    joined: int
    misses: int
    name: str
    policy: Cache
    refused: int

    def __init__(self, name: str, policy: Cache) -> None:
        """Start empty."""
        self.name = name
        self.policy = policy
        self.entries = {}
        self.flights = {}
        self.hits = self.joined = self.misses = self.refused = self.evicted = self.expired = 0

    def find(self, key: bytes, now: float) -> tuple[Any] | None:
        """Give a result that is young enough, in a tuple of one, and count it as used."""
        entry = self.entries.pop(key, None)
        if entry is None:
            return None
        value, until = entry
        if until is not None and now >= until:
            self.expired += 1
            return None
        self.entries[key] = entry
        return (value,)

    def keep(self, key: bytes, value: Any, now: float) -> None:  # noqa: ANN401 - the step's value
        """Keep a result, and forget those that are beyond the bound."""
        ttl = self.policy.ttl
        if 0 in (self.policy.size, ttl):
            return
        self.entries.pop(key, None)
        self.entries[key] = value, None if ttl is None else now + ttl
        while len(self.entries) > self.policy.size:
            del self.entries[next(iter(self.entries))]
            self.evicted += 1

    def admits(self, value: Any, *, streams: bool) -> bool:  # noqa: ANN401 - the step's value
        """Say whether a result may be given to others; of a stream every item counts."""
        parts = value if streams else (value,)
        whole = all(getattr(part, "complete", True) is not False for part in parts)
        return whole and (self.policy.valid is None or bool(self.policy.valid(value)))

    def statistics(self) -> CacheStatistics:
        """Give the counters."""
        return CacheStatistics(
            self.name,
            len(self.entries),
            self.hits,
            self.joined,
            self.misses,
            self.refused,
            self.evicted,
            self.expired,
        )

    def __repr__(self) -> str:
        """Show the name and how many results are kept."""
        return f"<CacheState of {self.name}, {len(self.entries)} kept, {len(self.flights)} fly>"


class Sharing:
    """One call and what its cache may do for it."""

    __slots__ = ("call", "flight", "key", "state")

    call: Call[Any]
    flight: Flight | None
    key: bytes
    state: CacheState

    def __init__(self, call: Call[Any]) -> None:
        """Find the place of `call`; raise `NotCanonical` where an argument has no digest."""
        policy = call.policy.cache
        assert policy is not None  # noqa: S101 - asked only where there is one
        self.call = call
        self.state = state_of(call.run.caches, call.step, policy)
        self.key = request_digest(call.step, call.args, call.kwargs)
        self.flight = None  # the one that this call leads

    async def find(self) -> tuple[Any] | None:
        """Give the value in a tuple of one, or `None` where the call is to run, as leader or alone.

        Cancelled, it leaves those that it waited with, who go on without it.
        """
        call, state = self.call, self.state
        found: tuple[Any] | None = state.find(self.key, call.run.time())
        if found is not None:
            state.hits += 1
            return self.reused(found, "cached")
        flight = state.flights.get(self.key)
        if flight is None:
            if call.reader is None:  # whose pace, where there is one, is nobody else's
                self.lead(Flight(call))
        elif self.may_follow(flight):
            found = await self.follow(flight)
            if found is not None:
                state.joined += 1
                return self.reused(found, "joined")
            self.lead(flight)
            self.refuse_draining()
        state.misses += 1
        return None

    def reused(self, found: tuple[Any], how: str) -> tuple[Any]:
        """Note that the value was made by another call."""
        note(self.call, reused=how)
        return found

    def lead(self, flight: Flight) -> None:
        """Run for all who ask the same meanwhile."""
        flight.leader = self.call
        self.flight = flight
        self.state.flights[self.key] = flight
        if flight.followers:
            self.call.run.runtime.leading[self.call] = flight

    def may_follow(self, flight: Flight) -> bool:
        """Say whether to wait for the leader ends well: not for a reader, nor in a circle."""
        if self.call.reader is not None:
            return False
        try:
            refuse_circles(self.call, flight.leader)
        except FanwiseError:
            return False
        return True

    async def follow(self, flight: Flight) -> tuple[Any] | None:
        """Wait for the leader's value; `None` where this call is to lead now."""
        call = self.call
        run = call.run
        began = run.time()
        turn: Future[tuple[Any] | None] = run.runtime.loop.create_future()
        flight.followers[call] = turn
        run.runtime.leading[flight.leader] = flight
        try:
            return await turn
        except BaseException:
            if turn.done() and not turn.cancelled() and turn.result() is None:
                self.hand_on(flight)  # it was to lead, and is cancelled
            raise
        finally:
            flight.followers.pop(call, None)
            if not flight.followers:
                run.runtime.leading.pop(flight.leader, None)
            add_wait(call, "cache", run.time() - began)

    def refuse_draining(self) -> None:
        """Raise where this call would only start now, and the runtime starts nothing more."""
        if self.call.run.runtime.draining:
            self.end()
            msg = f"{self.call.name} was not started: the runtime drains"
            raise CallSkipped(msg)

    def keep(self, value: Any) -> None:  # noqa: ANN401 - the step's value
        """Keep what the call made, and give it to those who wait, where it may be shared."""
        state = self.state
        whole = (self.call.facts or {}).get("finish", "stop") in WHOLE
        if not whole or not state.admits(value, streams=self.call.step.streams):
            state.refused += 1
            return
        if self.call.step.streams:
            value = tuple(value)  # the list is its caller's own
        state.keep(self.key, value, self.call.run.time())
        flight, self.flight = self.flight, None
        if flight is not None:
            del state.flights[self.key]
            self.call.run.runtime.leading.pop(self.call, None)
            for turn in flight.followers.values():
                if not turn.done():
                    turn.set_result((value,))

    def end(self) -> None:
        """Let another lead where this call did and had nothing to share."""
        flight, self.flight = self.flight, None
        if flight is not None:
            self.hand_on(flight)

    def hand_on(self, flight: Flight) -> None:
        """Let the first of those who wait lead; without any the flight is over."""
        leading = self.call.run.runtime.leading
        leading.pop(flight.leader, None)
        for call, turn in flight.followers.items():
            if not turn.done():
                flight.leader = call
                leading[call] = flight
                turn.set_result(None)
                return
        del self.state.flights[self.key]

    def __repr__(self) -> str:
        """Name the call and say whether it leads."""
        return f"<Sharing of {self.call!r}, {'leads' if self.flight else 'does not lead'}>"


def state_of(caches: Caches, step: Definition[Any], policy: Cache) -> CacheState:
    """Give what is kept of a step under a policy; steps of one function and name share it.

    Of too many, as in a program that makes functions as it runs, the longest unused is forgotten.
    """
    place = (step.name, maker_of(step), policy)
    state = caches.pop(place, None) or CacheState(step.name, policy)
    caches[place] = state
    if len(caches) > MOST:
        idle = next((each for each, found in caches.items() if not found.flights), place)
        if idle != place:
            del caches[idle]
    return state


def maker_of(step: Definition[Any]) -> object:
    """Give what must be the same for two steps of one name to have the same results.

    The function itself; where `key=` says what counts, its place in the code, so that objects that
    are made anew for each use share what they have.
    """
    function = step.function
    if step.policy.key is None:
        return function
    return getattr(function, "__module__", ""), getattr(function, "__qualname__", "")
