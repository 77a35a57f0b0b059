"""The line before a gate: who is next, and only the next one asks.

Problem: share a quota between runs and tenants by weight, first come first served within one, so
that neither a busy neighbour nor a large request starves, without waking anybody for nothing.
Algorithm: start-time fair queueing (Goyal, Vin and Cheng, 1996). A flow is a tenant, or a run that
has none. The first of each flow bears a tag: the virtual time at its arrival, or where its flow's
last one ended if that is later; a turn that is granted ends `share / weight` after its tag, where
its share is the greatest part of a bucket that it takes (dominant resource fairness, Ghodsi et al.,
2011), corrected when it is settled. The smallest tag is next; virtual time is the tag of the one
granted last. Priorities are classes: a class's first is next where its arrival, moved earlier by
`patience` seconds for each step of priority, is the earliest, so that waiting ages everybody up.
The head keeps its place until the gate admits it, whatever smaller requests stand behind.
Cost: a heap of flows, O(log flows) a turn. One timer of the loop, set for the instant at which the
gate's answer may change.
Rejected: finish tags (weighted fair queueing: a large request waits for all smaller ones), deficit
round robin (bursts of a whole quantum), waking all who wait (a herd).
"""

from __future__ import annotations

from collections import OrderedDict
from heapq import heappop, heappush
from math import inf, nextafter
from typing import TYPE_CHECKING

from fanwise.core._errors import LimitTooSmall
from fanwise.core._protocols import Amount

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Hashable

    from fanwise.core._protocols import Gate
    from fanwise.core._run import Share

FORGET_AT = 64  # flows, of which those are forgotten that have had no more than is due


class Turn:
    """One that waits: what it needs, which is asked anew each time, and where it stands."""

    __slots__ = ("amount", "arrived", "asked", "error", "flow", "future", "granted", "judge",
                 "number", "rank", "virtual", "weight")  # fmt: skip

    amount: Callable[[], Amount]
    arrived: float
    asked: Amount  # when it came
    error: Exception | None  # why it is refused
    flow: Flow
    future: asyncio.Future[bool]  # True: it is admitted; False: it is to ask the gate itself
    granted: bool
    judge: Callable[[], None]  # raises LimitTooSmall where it never fits the limit of now
    number: int
    rank: Rank
    virtual: float
    weight: float

    def __init__(self, number: int, amount: Callable[[], Amount], asked: Amount,
                 judge: Callable[[], None] = lambda: None) -> None:  # fmt: skip
        """Prepare to wait."""
        self.judge = judge
        self.number = number
        self.amount = amount
        self.asked = asked
        self.error = None
        self.granted = False

    def __repr__(self) -> str:
        """Show the number and what it waits for."""
        return f"<Turn {self.number} for {self.asked}>"


class Flow:
    """The turns of one tenant or run in one rank, in order, and what it has had."""

    __slots__ = ("ended", "entry", "sums", "turns")

    ended: float  # where its last turn ended, in virtual time
    entry: tuple[float, int, Flow] | None  # in the heap, the one that counts
    sums: tuple[int, int, int]  # requests, tokens in and out of all its turns
    turns: OrderedDict[Turn, None]

    def __init__(self) -> None:
        """Start with nothing."""
        self.ended = 0.0
        self.entry = None
        self.sums = (0, 0, 0)
        self.turns = OrderedDict()

    def add(self, turn: Turn) -> None:
        """Let a turn stand at the end."""
        self.turns[turn] = None
        self.sums = added(self.sums, turn.asked, 1)

    def remove(self, turn: Turn) -> None:
        """Take a turn out."""
        del self.turns[turn]
        self.sums = added(self.sums, turn.asked, -1)

    def first(self) -> Turn:
        """Give the one that came first."""
        return next(iter(self.turns))

    def __repr__(self) -> str:
        """Count the turns."""
        return f"<Flow of {len(self.turns)} to {self.ended:g}>"


class Rank:
    """The flows of one priority."""

    __slots__ = ("flows", "forget_at", "heap", "priority", "virtual")

    flows: dict[Hashable, Flow]
    forget_at: int
    heap: list[tuple[float, int, Flow]]
    priority: int
    virtual: float

    def __init__(self, priority: int) -> None:
        """Start with no flow."""
        self.priority = priority
        self.flows = {}
        self.forget_at = FORGET_AT
        self.heap = []
        self.virtual = 0.0

    def join(self, key: Hashable, turn: Turn) -> None:
        """Let a turn stand at the end of its flow."""
        flow = self.flows.get(key)
        if flow is None:
            flow = self.flows[key] = Flow()
        turn.flow = flow
        turn.virtual = self.virtual
        flow.add(turn)
        if len(flow.turns) == 1:
            self._place(flow)

    def first(self) -> Turn | None:
        """Give the turn that is next in this rank."""
        heap = self.heap
        while heap and heap[0] is not heap[0][2].entry:
            heappop(heap)
        return heap[0][2].first() if heap else None

    def grant(self, turn: Turn, share: float) -> None:
        """Take out the first turn, and charge its flow."""
        flow = turn.flow
        begun = max(turn.virtual, flow.ended)
        self.virtual = max(self.virtual, begun)
        flow.ended = begun + share / turn.weight
        self.leave(turn)

    def leave(self, turn: Turn) -> None:
        """Take a turn out."""
        flow = turn.flow
        was_first = flow.first() is turn
        flow.remove(turn)
        if was_first:
            self._place(flow)
        if not flow.turns and len(self.flows) > self.forget_at:
            for key, each in list(self.flows.items()):
                if not each.turns and each.ended <= self.virtual:
                    del self.flows[key]
            self.forget_at = max(FORGET_AT, 2 * len(self.flows))

    def correct(self, key: Hashable, share: float) -> None:
        """Charge a flow that is remembered for more, or less, than it was granted for."""
        flow = self.flows.get(key)
        if flow is not None:
            flow.ended += share
            self._place(flow)

    def _place(self, flow: Flow) -> None:
        """Put a flow where its first turn belongs."""
        if not flow.turns:
            flow.entry = None
            return
        turn = flow.first()
        flow.entry = (max(turn.virtual, flow.ended), turn.number, flow)
        heappush(self.heap, flow.entry)

    def __repr__(self) -> str:
        """Show the priority."""
        return f"<Rank {self.priority}, {len(self.flows)} flows>"


class Line:
    """All who wait for one gate."""

    __slots__ = ("_asking", "_gate", "_handle", "_loop", "_missed", "_patience", "_ranks",
                 "_share", "_told", "count")  # fmt: skip

    count: int

    def __init__(
        self,
        gate: Gate,
        loop: asyncio.AbstractEventLoop,
        share: Callable[[Amount], float],
        patience: float,
    ) -> None:
        """Stand before `gate`; `share` is the part of a bucket that an amount takes."""
        self._gate = gate
        self._loop = loop
        self._share = share
        self._patience = patience
        self._ranks: dict[int, Rank] = {}
        self._handle: asyncio.TimerHandle | None = None
        self._told: Turn | None = None  # who was told to wait, and asks when there is a reason
        self._asking: Turn | None = None  # who asks a gate that does not know at once
        self._missed = False  # whether something came back meanwhile
        self.count = 0
        gate.wake_with(self.wake)

    async def wait(self, key: Hashable, share: Share, turn: Turn) -> None:
        """Wait until the turn is admitted; cancelled, it takes nothing, and the next one asks."""
        turn.rank = self._rank(share.priority)
        turn.weight = share.weight
        turn.arrived = self._loop.time()
        turn.future = self._loop.create_future()
        turn.rank.join(key, turn)
        self.count += 1
        self._next()
        try:
            while not await turn.future:
                await self._ask(turn)
        except BaseException:
            self._leave(turn)
            raise

    @property
    def stands(self) -> bool:
        """Whether the gate has told the first one to wait."""
        return self._told is not None

    def ahead(self, key: Hashable, share: Share) -> Amount:
        """Give the sum of what those need who stand before a new turn in any case."""
        rank = self._ranks.get(share.priority)
        flow = None if rank is None else rank.flows.get(key)
        return Amount(0, 0, 0) if flow is None else Amount(*flow.sums)

    def correct(self, key: Hashable, share: Share, amount: Amount, used: Amount) -> None:
        """Charge for what was used in place of what was granted."""
        rank = self._ranks.get(share.priority)
        if rank is not None:
            rank.correct(key, (self._share(used) - self._share(amount)) / share.weight)

    def wake(self) -> None:
        """Let the head ask again: something came back."""
        if self.count:
            self._told = None
            self._missed = True
            self._next()

    def refuse_all(self, error: Exception) -> None:
        """Let everybody who waits fail with `error`."""
        for turn in self._turns():
            self._refuse(turn, error)

    def limit_changed(self, patience: float) -> None:
        """Let everybody who waits be judged anew; who does not fit any more is refused."""
        self._patience = patience
        for turn in self._turns():
            if turn is self._asking:  # its answer is on its way
                continue
            try:
                turn.judge()
            except LimitTooSmall as error:
                self._refuse(turn, error)
            else:
                flow, asked = turn.flow, turn.amount()
                flow.sums = added(added(flow.sums, turn.asked, -1), asked, 1)
                turn.asked = asked
        self.wake()

    def _turns(self) -> list[Turn]:
        ranks = self._ranks.values()
        return [turn for rank in ranks for flow in rank.flows.values() for turn in flow.turns]

    def _refuse(self, turn: Turn, error: Exception) -> None:
        turn.error = error
        self._out(turn)
        if not turn.future.done():
            turn.future.set_exception(error)

    def close(self) -> None:
        """Leave no timer behind."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _next(self) -> None:
        """Let whoever is next ask, for as long as the gate admits."""
        while self._asking is None:
            turn = self._head()
            if turn is None or turn is self._told:
                return
            if turn.future.done():  # it was cancelled on this instant, and has yet to say so
                self._out(turn)
                continue
            amount = turn.amount()
            wait = self._gate.admit_nowait(turn.number, amount)
            if wait is None:
                self._asking = turn
                turn.future.set_result(False)
            elif wait:
                self._tell(turn, wait)
            else:
                self._grant(turn, amount)
                turn.future.set_result(True)

    async def _ask(self, turn: Turn) -> None:
        """Ask a gate that is elsewhere."""
        turn.future = self._loop.create_future()
        amount = turn.amount()
        self._missed = False
        try:
            wait = await self._gate.admit(turn.number, amount)
        finally:
            self._asking = None
        if turn.error is not None:  # refused meanwhile
            if not wait:
                self._give_back(turn)
            raise turn.error
        if not wait:
            self._grant(turn, amount)
            turn.future.set_result(True)
        elif not self._missed:
            self._tell(turn, wait)
        self._next()

    def _grant(self, turn: Turn, amount: Amount) -> None:
        turn.granted = True
        turn.rank.grant(turn, self._share(amount))
        self._counted_out(turn)

    def _tell(self, turn: Turn, wait: float) -> None:
        """Let a turn wait until its gate may have another answer."""
        self._told = turn
        self.close()
        if wait < inf:
            now = self._loop.time()
            self._handle = self._loop.call_at(max(now + wait, nextafter(now, inf)), self._due)

    def _due(self) -> None:
        self._handle = None
        self.wake()

    def _head(self) -> Turn | None:
        """Give the one who is next."""
        best: Turn | None = None
        best_due = inf
        for rank in self._ranks.values():
            turn = rank.first()
            if turn is not None:
                due = turn.arrived - rank.priority * self._patience
                if best is None or due < best_due:
                    best, best_due = turn, due
        return best

    def _leave(self, turn: Turn) -> None:
        """Take note that a turn is given up; what it was granted on this instant goes back."""
        if turn in turn.flow.turns:
            self._out(turn)
        elif turn.granted:
            self._give_back(turn)
        if self._asking is turn:
            self._asking = None
        self._next()

    def _give_back(self, turn: Turn) -> None:
        self._gate.settle(turn.number, Amount(0, 0, 0))
        self._gate.release(turn.number)

    def _out(self, turn: Turn) -> None:
        turn.rank.leave(turn)
        self._counted_out(turn)

    def _counted_out(self, turn: Turn) -> None:
        self.count -= 1
        if self._told is turn:
            self._told = None
            self.close()
        if not self.count:
            self._ranks.clear()  # what was had while nobody waited is nobody's loss
            self.close()
            self._gate.forgo()

    def _rank(self, priority: int) -> Rank:
        rank = self._ranks.get(priority)
        if rank is None:
            rank = self._ranks[priority] = Rank(priority)
        return rank

    def __repr__(self) -> str:
        """Count those who wait."""
        return f"<Line of {self.count}>"


def added(sums: tuple[int, int, int], amount: Amount, sign: int) -> tuple[int, int, int]:
    """Give sums with an amount more, or less."""
    requests, read, written = amount
    return (sums[0] + sign * requests, sums[1] + sign * read, sums[2] + sign * written)
