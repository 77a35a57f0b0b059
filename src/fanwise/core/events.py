"""What is told to `Runtime(listeners=)` beside rows; loaded with the first of it."""

from __future__ import annotations

from typing import Literal, NamedTuple

LimitEvents = Literal["waits", "admitted", "left", "refused", "paused", "width", "spent"]


class LimitEvent(NamedTuple):
    """Something that happened at a limit or a budget, told to `Runtime(listeners=)` at once.

    `time` is Unix seconds. `run` and `call` (its number in the record) say whose it is; `None`
    where it is nobody's. What `value` is depends on `what`:

    - "waits": a call begins to wait for the limit `name`; 0
    - "admitted": it was let in, after so many seconds
    - "left": it gave up, or was refused, after so many seconds
    - "refused": the provider answered 429; the seconds of its `Retry-After`, 0 without one
    - "paused": nobody is let in for so many seconds
    - "width": so many slots there are from now on (`inf`: any number)
    - "spent": nothing more is started under the budget `name`; what is left of it
    """

    what: LimitEvents
    name: str
    time: float
    value: float = 0.0
    run: str | None = None
    call: int | None = None
