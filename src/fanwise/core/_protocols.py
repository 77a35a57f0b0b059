"""What the engine asks of the layers above, and the trivial answers.

The adapters (journals over databases, caches, token rates, pools of other engines) live in higher
layers and implement these.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Callable, Mapping

    from fanwise.core._call import Call

Listener = "Callable[[CallRow | AttemptRow], None]"


class Journal(Protocol):
    """The durable memory of finished calls, by key."""

    async def find(self, key: bytes) -> tuple[Any] | None:
        """Give the committed result of a call, in a tuple of one, or `None`."""

    async def commit(self, key: bytes, step: str, result: Any) -> None:  # noqa: ANN401
        """Keep a result; it counts as committed when this returns."""


class Admission(Protocol):
    """Rates and budgets: what an attempt reserves before it starts, and settles afterwards."""

    async def reserve(self, call: Call[Any]) -> object:
        """Wait for, or refuse (by raising), the admission of one attempt; give a reservation."""

    def settle(self, reservation: object, call: Call[Any]) -> None:
        """Correct a reservation, once, when its attempt has ended."""


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


class MemoryJournal:
    """A journal in memory: the twin of the durable ones, for tests."""

    def __init__(self) -> None:
        """Start empty."""
        self.results: dict[bytes, Any] = {}

    async def find(self, key: bytes) -> tuple[Any] | None:
        """Give what was committed under `key`."""
        return (self.results[key],) if key in self.results else None

    async def commit(self, key: bytes, step: str, result: Any) -> None:  # noqa: ANN401, ARG002
        """Keep a result."""
        self.results[key] = result

    def __repr__(self) -> str:
        """Count the results."""
        return f"<MemoryJournal of {len(self.results)}>"


__all__ = [
    "Admission", "Body", "Drawn", "Hooks", "Journal", "Listener", "MemoryJournal", "Plan",
]  # fmt: skip
