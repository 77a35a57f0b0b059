"""What a journal keeps of a run: one entry a call, by key, whose kind says how far it came."""

from __future__ import annotations

from enum import IntEnum
from typing import Any, NamedTuple, Protocol

AGAIN = (1 << 62) - 1  # as `ended`: of a failure that ended its parent, so that it runs again


class Kind(IntEnum):
    """Every kind of write that a journal knows. In files: a number never changes its meaning."""

    RUN_BEGUN = 1
    """A run, with what it runs and the seed of its randomness."""
    RUN_ENDED = 2
    """How a run ended."""
    BEGUN = 3
    """A call under which something was kept, while it has no result of its own."""
    INTENT = 4
    """A write that is about to be done."""
    LET_GO = 5
    """A call that nobody waited for any more."""
    FAILED = 6
    """A call that ended with an error."""
    RESULT = 7
    """The result of a read."""
    WRITTEN = 8
    """The result of a write."""
    NOTED = 9
    """An answer of `current().time()` or of `patched`."""
    NOT_DONE = 10
    """A write of which somebody outside said that it did not happen."""


class Entry(NamedTuple):
    """What a journal keeps of one call.

    `parent` is the key of the step in which it was made (b"": the run), `home` that of the pattern
    there, where one made it; `position` its number among the calls made there one after the other,
    -1 where their order is an accident. `made` and `ended` count the run's events. `data` is
    `None` where it is too large to be loaded with the others.
    """

    kind: int
    key: bytes
    parent: bytes
    home: bytes | None
    step: str
    version: int | str
    position: int
    made: int
    ended: int
    data: bytes | None


class Head(NamedTuple):
    """What a run is: its id, its step, the digest of what is asked, the seed of its randomness."""

    run: str
    step: str
    version: int | str
    request: bytes
    seed: int


class Opened(NamedTuple):
    """A run in a journal: its number there, its head as it was begun, and its entries."""

    number: int
    head: Head
    entries: list[Entry]


class Codec(Protocol):
    """How the results of one step are written."""

    def encode(self, value: Any, /) -> bytes:  # noqa: ANN401 - the step's value
        """Give the bytes of a result; raise `NotStorable` where they would not give it again."""

    def decode(self, data: bytes, /) -> Any:  # noqa: ANN401 - as above
        """Give the result of its bytes; raise `ProgramChanged` where they do not fit the step."""
