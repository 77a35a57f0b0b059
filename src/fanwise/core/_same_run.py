"""Runs under a journal whose id the caller gives: asked for twice at a time, they run once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from fanwise.core._errors import ProgramChanged
from fanwise.core._opening import head_of
from fanwise.core._watchers import excuse

if TYPE_CHECKING:
    from fanwise.core._call import Call
    from fanwise.core._run import Run


class SameRun:
    """A live run, which all who ask for its id wait for; the last to leave cancels it."""

    __slots__ = ("request", "run", "watchers")

    request: tuple[str, bytes]
    run: Run
    watchers: int

    def __init__(self, run: Run, call: Call[Any]) -> None:
        """Share `run`, which is started, of `call`."""
        self.run = run
        head = head_of(run, call)
        self.request = (head.step, head.request)
        self.watchers = 0

    def join(self, call: Call[Any]) -> None:
        """Take `call` for the one that runs; raise `ProgramChanged` where they differ."""
        excuse(call)
        head = head_of(self.run, call)
        if (head.step, head.request) != self.request:
            raise ProgramChanged(
                f"run {self.run.id!r} runs, and is of another call than {call.name} with these "
                "arguments: an id names one run"
            )

    async def value(self) -> Any:  # noqa: ANN401 - the value of the run's call
        """Wait for the run, and give its value or raise its error."""
        task = self.run.task
        assert task is not None  # noqa: S101 - it was started
        self.watchers += 1
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            if self.watchers == 1:
                task.cancel()
                await asyncio.wait([task])
            raise
        finally:
            self.watchers -= 1
        return task.result()

    def __repr__(self) -> str:
        """Name the run."""
        return f"<SameRun {self.run.id}, {self.watchers} watchers>"


def sharing(_address: str) -> type[SameRun]:
    """Give what shares a run."""
    return SameRun
