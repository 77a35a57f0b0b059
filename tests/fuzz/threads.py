"""Random scripts on the real clock, with real threads: ordered by events, never by sleeping.

A body in a thread says that it has begun and waits for its gate, which only the script opens. The
script keeps a model of who has a slot, who waits in line and whom nobody waits for any more, and
compares the runtime with it after every act.
"""

from __future__ import annotations

import asyncio
import random
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fanwise.core import Limit, Runtime, step
from fanwise.testing import no_orphans

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE = 10.0  # real seconds, after which a script is stuck
FAILS = (None, None, None, ValueError, ConnectionError)


@dataclass
class Body:
    """One call whose function waits in a thread."""

    number: int
    error: type[Exception] | None
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    gate: threading.Event = field(default_factory=threading.Event)
    task: asyncio.Task[Any] | None = None


class Script:
    """A random script over one limit."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.width = self.random.randint(1, 3)
        self.limited = self.random.random() < 0.8
        self.acts: list[str] = []
        self.bodies: list[Body] = []
        self.line: list[Body] = []  # wait for a slot
        self.inside: list[Body] = []  # in a thread, awaited
        self.abandoned: list[Body] = []  # in a thread, and nobody waits any more

    def __repr__(self) -> str:
        return f"<Script width {self.width}: {' '.join(self.acts)}>"

    async def run(self, acts: int) -> None:
        """Run it, and leave the runtime while abandoned threads still wait."""
        loop = asyncio.get_running_loop()
        problems: list[Any] = []
        loop.set_exception_handler(lambda _, context: problems.append(context))
        limits = {"gate": Limit(at_once=self.width)}
        async with no_orphans(), Runtime(limits=limits) as runtime:
            self.runtime = runtime
            self.work = self.step_of(loop)
            for _ in range(acts):
                await self.act()
                self.compare()
            await self.finish_all()
            await self.leaves_last(asyncio.create_task(runtime.aclose()))
        assert not problems, problems

    def step_of(self, loop: asyncio.AbstractEventLoop) -> Any:
        def work(number: int) -> int:
            body = self.bodies[number]
            loop.call_soon_threadsafe(body.begun.set)
            assert body.gate.wait(PATIENCE)
            if body.error is not None:
                raise body.error(number)
            return number

        return step(limit="gate" if self.limited else None)(work)

    # Acts

    async def act(self) -> None:
        choices: list[tuple[str, Callable[..., Any], list[Body]]] = [
            ("release", self.release, self.inside + self.abandoned),
            ("cancel", self.cancel, self.inside + self.line),
        ]
        possible = [it for it in choices if it[2]]
        if not possible or self.random.random() < 0.45:
            await self.start()
            return
        name, act, bodies = self.random.choice(possible)
        body = self.random.choice(bodies)
        self.acts.append(f"{name} {body.number}")
        await act(body)

    async def start(self) -> None:
        body = Body(len(self.bodies), self.random.choice(FAILS))
        self.acts.append(f"start {body.number}")
        self.bodies.append(body)
        self.line.append(body)
        body.task = asyncio.create_task(self.runtime.run(self.work(body.number)))
        await self.settle()

    async def release(self, body: Body) -> None:
        """Open the gate: the function ends, and the next in line gets its slot."""
        body.gate.set()
        if body in self.abandoned:
            self.abandoned.remove(body)
        else:
            self.inside.remove(body)
            await asyncio.wait([body.task], timeout=PATIENCE)
            self.check_result(body)
        await self.settle()

    async def cancel(self, body: Body) -> None:
        """Cancel who waits: a function in a thread goes on, and keeps its slot."""
        body.task.cancel()
        done, _ = await asyncio.wait([body.task], timeout=PATIENCE)
        assert done, "a cancelled call waits for its thread"
        assert body.task.cancelled()
        if body in self.inside:
            self.inside.remove(body)
            self.abandoned.append(body)
        else:
            self.line.remove(body)
        await self.settle()

    async def settle(self) -> None:
        """Let those begin who have a slot by the model."""
        while self.line and (not self.limited or self.taken() < self.width):
            body = self.line.pop(0)
            self.inside.append(body)
            async with asyncio.timeout(PATIENCE):
                await body.begun.wait()
        async with asyncio.timeout(PATIENCE):
            while self.limited and self.slots() != (self.taken(), len(self.line)):
                await asyncio.sleep(0)

    def taken(self) -> int:
        return len(self.inside) + len(self.abandoned)

    def slots(self) -> tuple[int, int]:
        width = self.runtime.widths.get("gate")
        return (0, 0) if width is None else (width.used, len(width.waiting))

    # Checks

    def compare(self) -> None:
        for body in self.line:
            assert not body.begun.is_set(), f"{body.number} began without a slot"
        assert self.runtime.running == len(self.inside) + len(self.line)

    def check_result(self, body: Body) -> None:
        if body.error is None:
            assert body.task.result() == body.number
        else:
            assert isinstance(body.task.exception(), body.error)

    async def finish_all(self) -> None:
        """Leave nothing but abandoned threads."""
        while self.line:
            await self.cancel(self.line[-1])
        while self.inside:
            await getattr(self, self.random.choice(("release", "cancel")))(self.inside[0])
        for run in self.runtime.runs:
            (row,) = run.record().calls
            assert row.status in ("ok", "failed", "cancelled", "skipped")

    async def leaves_last(self, leaving: asyncio.Task[None]) -> None:
        """The runtime ends when the last abandoned thread has, not earlier."""
        while self.abandoned:
            for _ in range(20):
                await asyncio.sleep(0)
            assert not leaving.done(), "left while a thread still ran"
            body = self.abandoned.pop()
            body.gate.set()
        done, _ = await asyncio.wait([leaving], timeout=PATIENCE)
        assert done, "the runtime does not end"
        leaving.result()
