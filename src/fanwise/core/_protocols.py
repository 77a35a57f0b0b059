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
    from fanwise.core.events import LimitEvent

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


__all__ = [
    "PREPAID", "Body", "Drawn", "Journal", "Need", "Plan",
]  # fmt: skip
