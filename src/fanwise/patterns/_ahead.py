"""A fan-out that begins with its call, and has no task of its own while all goes well.

Problem: a task of the pattern's own, only to start branches and to wait for them, costs a fan-out
of ten as much as three branches, and two more turns of the event loop.
Method: whoever asks for the call starts the branches, and the last of them ends the call, where all
succeeded. Where anything is to be decided or left, a task is made at that moment, which finds here
what there is and goes on as it would have gone on anyway.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fanwise.core import FanIn, finish, give_task
from fanwise.patterns._gathering import Gathering
from fanwise.patterns._quorum import count_of, needed

if TYPE_CHECKING:
    from fanwise.core import Call

WIDEST = 256  # more at once would hold up who asks; the loop's watch knows a pattern by its task
DEEPEST = 16  # one inside the other: each stands on the stack of the one around it


class Ahead(Gathering):
    """The branches of a call without a task; it stands in the call's `inputs`."""

    __slots__ = ()

    @property
    def open(self) -> int:
        """How many branches have not ended."""
        return len(self.calls) - self.good - self.bad

    def begin(self) -> None:
        """Start every branch."""
        owner = self.owner
        assert owner is not None  # noqa: S101 - gathered for a call
        self.asker = owner.owner  # no body of the pattern's runs here, and maybe none at all
        runtime = owner.run.runtime
        runtime.depth += 1
        try:
            self.fill()
        finally:
            runtime.depth -= 1

    def wake(self) -> None:
        """End the call where every branch succeeded; else give it a task to judge them."""
        owner = self.owner
        assert owner is not None  # noqa: S101 - gathered for a call
        runtime = owner.run.runtime
        if self.good < len(self.calls) or runtime.depth >= DEEPEST:
            give_task(owner)
            return
        owner.result = FanIn(self.calls, owner.args[1])
        runtime.depth += 1
        try:
            finish(owner, "ok")
        finally:
            runtime.depth -= 1

    def drop(self) -> None:
        """Let a task leave every branch."""
        self.decide("cancelled")


def begin_ahead(call: Call[Any]) -> bool:
    """Start the branches of a fan-out without a task, where that can be; say whether it was."""
    calls, _, schedule = call.args
    runtime = call.run.runtime
    if (
        runtime.plan is not None
        or schedule["within"] is not None
        or schedule["at_once"] is not None
        or not 0 < len(calls) <= WIDEST
        or runtime.depth >= DEEPEST
    ):
        return False
    need, enough = schedule["need"], schedule["enough"]
    stop = None if enough is None else count_of("enough", enough, len(calls))
    if stop == 0:
        return False
    call.status = "running"
    call.attempts = 1
    call.inputs = ahead = Ahead(call, calls, needed(need, enough, len(calls)), stop)
    ahead.begin()
    return True
