"""What the engine asks of the layers above, and the trivial answers.

The adapters (journals over databases, caches, token rates, pools of other engines) live in higher
layers and implement these.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    import random
    from asyncio import Future
    from collections.abc import Awaitable, Callable, Mapping
    from decimal import Decimal

    from fanwise.core._call import Call
    from fanwise.core._entries import Entry, Head, Opened
    from fanwise.core._limits import LimitEvent
    from fanwise.core._policies import Limit

    class Names(Protocol):
        """What the names of models stand for in a runtime; what it is made of, its maker knows."""

        def statistics(self, runtime: Any, /) -> tuple[Any, ...]:  # noqa: ANN401 - a runtime
            """Give what became of each deployment so far."""

    from fanwise.core._record import AttemptRow, CallRow

    Listener = Callable[[CallRow | AttemptRow | LimitEvent], None]


class Journal(Protocol):
    """The durable memory of runs: entries by key, in the order in which they were told.

    What entries mean is `fanwise.core._journal`'s to know. Whatever fails is a `JournalError`, and
    everything that was told after it fails too.
    """

    async def open(self) -> None:
        """Get ready; raise where that fails. The first run does it where nobody did."""

    async def begin(self, head: Head, /) -> Opened:
        """Claim a run and give what is known of it; raise `RunBusy` where another has it."""

    def tell(self, run: int, entry: Entry, /) -> None:
        """Keep an entry, some time, and before all that are told later."""

    def keep(self, run: int, entry: Entry, /, *, synced: bool) -> Future[None] | None:
        """Keep an entry, `synced` against a loss of power too; it is kept when the future is done.

        `None`: it is kept already.
        """

    async def fetch(self, run: int, entry: Entry, /) -> bytes:
        """Give the data of an entry that came without."""

    def end(self, run: int, status: str, error: str | None, /) -> None:
        """Say how a run ended, and give it free; with "" it is as it was before it was claimed."""

    async def aclose(self) -> None:
        """Keep all that was told, and close."""


class Admission(Protocol):
    """Rates and budgets: what an attempt reserves before it starts, and settles afterwards."""

    async def reserve(self, call: Call[Any]) -> object:
        """Wait for, or refuse (by raising), the admission of one attempt; give a reservation."""

    def settle(self, reservation: object, call: Call[Any]) -> None:
        """Correct a reservation, once, when its attempt has ended."""


class Amount(NamedTuple):
    """What an attempt takes of a limit's rates; all tokens are those read and those written."""

    requests: int = 1
    tokens_in: int = 0
    tokens_out: int = 0


class Need(NamedTuple):
    """What a step says that an attempt will use, in tokens; `most` bounds what it writes.

    For a step under a limit with tokens, as `@step(needs=Need(1500, 300))` or as a function of the
    step's arguments that gives one. It serves until the runtime has seen what the step uses; from
    then on `tokens_in` is only compared with that of other calls. `tokens_out=None` says that
    nothing is known of what it writes: then the first attempt goes alone, with a whole bucket.

    Under a budget an attempt reserves the most that it may use: `most` tokens written, `most_in`
    read (`None`: twice `tokens_in`, until ten attempts have shown more), and as many `dollars`, or
    what so many tokens of `model` cost. `fits` says that the step keeps to `current().max_tokens`,
    so that where it says no `most` the runtime may choose it.
    """

    tokens_in: int = 0
    tokens_out: int | None = 0
    most: int | None = None
    most_in: int | None = None
    dollars: Decimal | float | str | None = None
    model: str | None = None
    fits: bool = False


PREPAID = Need(0, 0, 0, 0, 0)  # of a step that tells usage which another call has reserved


class Remaining(NamedTuple):
    """What an answer says that its provider still has for us; `None` where it says nothing."""

    requests: int | None = None
    tokens: int | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None


class GateStatistics(NamedTuple):
    """A gate at one instant: slots taken, what it gave and took back so far, and what is free.

    `admitted` counts reservations, `reserved` their tokens, `used` the tokens of settled ones,
    `refunded` what came back of them. `room` maps each rate to the share of its bucket that could
    be taken now (below 0: a debt). `corrections` counts the answers whose provider had less left
    than was known here.
    """

    in_flight: int
    admitted: int
    reserved: int
    used: int
    refunded: int
    room: Mapping[str, float]
    corrections: int = 0


class Gate(Protocol):
    """The quota of one limit, its width and all its rates decided at once; here or on a server.

    The line before it (`fanwise.core._queues`) asks for its head only, one at a time, and makes the
    numbers of reservations, so that a question may be sent again. Nothing is held by one who is
    told to wait.
    """

    def admit_nowait(self, number: int, amount: Amount, /) -> float | None:
        """Take a slot and `amount` and give 0.0, or take nothing and say when to ask again.

        In seconds from now, `inf` for "when `wake` was called"; `None` where only `admit` can say.
        """

    async def admit(self, number: int, amount: Amount, /) -> float:
        """Do as `admit_nowait`, at whoever knows; cancelled, it takes nothing."""

    def forgo(self) -> None:
        """Take note that nobody waits here any more, lest others wait behind."""

    def has_room(self, amount: Amount, /) -> bool:
        """Say whether `admit_nowait` would admit, as far as is known here; takes nothing."""

    def least_wait(self, amount: Amount, /) -> float:
        """Give the seconds in which so much comes free (a sum of several amounts).

        As far as can be told from how much of what was reserved came back until now; 0 where it is
        not known.
        """

    def settle(self, number: int, used: Amount, /) -> None:
        """Correct what a reservation took by what was used, at once or soon; at most once each.

        A reservation that is never settled counts as used; one of which not even a request was used
        is withdrawn. Does not wait.
        """

    def release(self, number: int, /) -> None:
        """Give the slot of a reservation back; at most once each. Does not wait."""

    def pause(self, seconds: float, /) -> None:
        """Admit nothing for so many seconds from now, here or anywhere; a longer pause stays.

        The provider said "too many". Does not wait. While it lasts `admit_nowait` tells the rest of
        it, `has_room` is False and `least_wait` is at least that; who has been admitted goes on.
        """

    def paused(self) -> float:
        """Give the seconds that are left of a pause, as far as is known here; 0.0 without one."""

    def correct(self, number: int, left: Remaining, /) -> None:
        """Take what the answer to a reservation said is left, where less is than is known here.

        Of what is left the provider has yet to take what is in flight and counts at its end. The
        answer may have been made at any instant since the reservation was admitted, and others may
        have come before it: it never lets anybody in, and of two that say the same of one
        shortage, only one counts. That of an unknown or settled reservation changes nothing. Does
        not wait.
        """

    def changed_to(self, limit: Limit, /) -> Callable[[], None]:
        """Give what makes this the gate of another limit, once it is called.

        What was admitted stays admitted and is settled as before; no window sees more than the
        larger of both limits allows. Raises ValueError, and changes nothing, where it cannot count
        by that limit.
        """

    def wake_with(self, wake: Callable[[], None], /) -> None:
        """Take what is to be called, in the loop, when asking again may have another answer."""

    def statistics(self) -> GateStatistics:
        """Give the gate's counters, as far as they are known here."""


class Gates(Protocol):
    """Where the gates of a runtime come from, when limits are shared beyond the process."""

    def gate(self, name: str, limit: Limit, /) -> Gate:
        """Give the gate of a limit; asked once a runtime and name."""

    async def aclose(self) -> None:
        """Let go of everything, when the runtime closes."""


class Plan(Protocol):
    """The schedule: for the name of a step or pattern, what it overrides, or `None`."""

    def get(self, name: str, /) -> Mapping[str, Any] | None:
        """Give the overrides for `name`: asked once a runtime and name."""


class Drawn(Protocol):
    """What a rehearsed attempt does in place of the step's function."""

    async def play(self, own: Callable[[], Awaitable[Any]], /) -> Any:  # noqa: ANN401
        """Take the drawn time, on the loop's clock, and give the value or raise the failure.

        `own` runs the step's function, where that is wanted all the same; at most once.
        """


class Body(Protocol):
    """The rehearsal hook: asked inside slot, timeout, retry and hedge of every attempt."""

    def __call__(self, call: Call[Any], attempt: int, draw: random.Random, /) -> Drawn | None:
        """Give what to do instead of the step's function, or `None` for the function itself.

        `draw` is seeded by the run's seed and the attempt's identity.
        """


class Hooks:
    """The engine's hooks for what other layers provide; none of them costs anything unset."""

    __slots__ = ("admission", "journal")

    admission: Admission | None
    journal: Journal | None

    def __init__(
        self,
        journal: Journal | None = None,
        admission: Admission | None = None,
    ) -> None:
        """Take what there is."""
        self.journal = journal
        self.admission = admission

    def __bool__(self) -> bool:
        """Say whether any is set that stands between a call and its body."""
        return self.journal is not None or self.admission is not None

    def __repr__(self) -> str:
        """Show what is set."""
        return f"Hooks({self.journal!r}, {self.admission!r})"


__all__ = [
    "PREPAID", "Admission", "Amount", "Body", "Drawn", "Gate", "GateStatistics", "Gates", "Hooks",
    "Journal", "Need", "Plan", "Remaining",
]  # fmt: skip
