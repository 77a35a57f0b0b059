"""The watcher behind `run_tools`: the tool calls of one message, from the first on.

A call is made when it is taken, in the order of the message, so that its identity is its place;
it starts at once where it only reads, and with the end of the message where it writes. Everything
happens in `take`, `release` and `call_ended`: no task, no lock, no queue without an end.
"""

from __future__ import annotations

import json
from asyncio import get_running_loop
from collections import deque
from contextvars import copy_context
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from fanwise.core import (
    LIVE,
    BreakerOpen,
    DeadlinePassed,
    Ending,
    FanwiseError,
    IdentityClash,
    LimitError,
    NotCanonical,
    PoolUnknown,
    TimedOut,
    ask,
    excuse,
    leave,
)
from fanwise.models._chat import ToolResult
from fanwise.models._json_reader import JsonReader
from fanwise.models.tools._given import text_of
from fanwise.models.tools._results import failure_text, unavailable

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping

    from fanwise.core import Call, Run
    from fanwise.models._chat import ToolCall
    from fanwise.models.tools._tool import Tool

# What is wrong with the program and not with the tool, so that no model can do anything about it.
MISTAKES = (IdentityClash, LimitError, NotCanonical, PoolUnknown)

_failures: WeakKeyDictionary[Run, dict[str, int]] = WeakKeyDictionary()


class Slot:
    """One tool call of the message: the call made of it, or why there is none."""

    __slots__ = ("asked", "call", "error", "like", "refusal", "tool")

    def __init__(self, asked: ToolCall) -> None:
        """Start with what the model wrote."""
        self.asked = asked
        self.tool: Tool | None = None
        self.call: Call[Any] | None = None
        self.like: Slot | None = None  # the identical one that runs for both
        self.error: BaseException | None = None
        self.refusal: str | None = None

    def refuse(self, why: str) -> None:
        """Say why the call is not started; whoever made it meant it."""
        self.refusal = why
        if self.call is not None:
            excuse(self.call)

    def result(self) -> ToolResult:
        """Give what the model is told."""
        source = self.like or self
        text, failed = source.told()
        return ToolResult(self.asked.id, self.asked.name, text, failed)

    def told(self) -> tuple[str, bool]:
        """Give the text of the result, and whether it is a failure."""
        call = self.call
        if self.refusal is not None or call is None:
            return self.refusal or "", True
        if call.status == "ok" and self.error is None:
            try:
                return text_of(call.result), False
            except ValueError as error:  # as pydantic's, for what has no JSON
                return failure_text(self.asked.name, call, error), True
        return failure_text(self.asked.name, call, self.error or call.error), True

    def __repr__(self) -> str:
        """Name tool and id."""
        return f"<Slot of {self.asked.name} {self.asked.id}>"


class ToolWork:
    """The tool calls of one message on their way to results."""

    __slots__ = (
        "at_once", "context", "filling", "future", "held", "joined", "known", "mistake", "most",
        "over", "owner", "refused", "running", "slots", "stopped", "tools", "waiting",
    )  # fmt: skip

    def __init__(
        self, owner: Call[Any], tools: Mapping[str, Tool], at_once: int | None, failures: int | None
    ) -> None:
        """Take tool calls for the pattern call `owner`."""
        self.owner: Call[Any] | None = owner
        self.tools = tools
        self.at_once = at_once
        self.most = failures
        self.slots: list[Slot] = []
        self.waiting: deque[Slot] = deque()
        self.joined: list[int | None] = []  # calls that an earlier attempt of the caller's made
        self.held: list[Slot] = []  # writes, until the message has ended
        self.running: dict[Call[Any], list[Slot]] = {}
        self.known: dict[tuple[str, str], Slot] = {}  # reads, by tool and arguments
        self.refused: dict[str, str] = {}  # tools that are not called again this turn
        self.mistake: BaseException | None = None
        self.filling = False
        self.over = False
        self.stopped: float | None = None  # when the time for the tools was over
        self.context = copy_context()
        self.future: asyncio.Future[None] | None = None

    def take(self, asked: ToolCall) -> None:
        """Take one more call of the message, and start it if it only reads."""
        slot = Slot(asked)
        self.slots.append(slot)
        tool = slot.tool = self.tools.get(asked.name)
        if tool is None:
            known = ", ".join(self.tools) or "none"
            slot.refuse(f"there is no tool {asked.name!r}; there are: {known}")
        elif asked.broken is not None:
            why = why_broken(asked.broken)
            slot.refuse(f"the arguments of {asked.name} are no JSON object: {why}")
        else:
            self.make(slot, tool)

    def make(self, slot: Slot, tool: Tool) -> None:
        """Make the call, where there is not an identical one that reads."""
        asked = slot.asked
        writes = tool.effect == "write"
        if not writes:
            same = asked.name, json.dumps(asked.arguments, sort_keys=True)
            slot.like = self.known.get(same)
            if slot.like is not None:
                return
            self.known[same] = slot
        try:
            args, kwargs = tool.read(asked.arguments)
        except ValueError as error:
            slot.refuse(f"the arguments of {asked.name} do not fit: {error}")
            return
        slot.call = tool.step(*args, **kwargs)
        (self.held if writes else self.waiting).append(slot)
        self.fill()

    def release(self, refusal: str | None = None) -> None:
        """Let the writes go, for the message has ended; or refuse them, where it was cut."""
        for slot in self.held:
            if refusal is None:
                self.waiting.append(slot)
            else:
                slot.refuse(f"{slot.asked.name} was not called: {refusal}")
        self.held.clear()
        self.context = copy_context()
        self.fill()

    def fill(self) -> None:
        """Start the next calls, while there is room."""
        if self.filling:
            return
        self.filling = True
        while self.waiting and not self.over:
            if self.at_once is not None and len(self.running) >= self.at_once:
                break
            slot = self.waiting.popleft()
            refusal = self.refusal_of(slot.asked.name)
            if refusal is None:
                self.start(slot)
            else:
                slot.refuse(refusal)
        self.filling = False
        if not self.running and not self.waiting:
            self.wake()

    def start(self, slot: Slot) -> None:
        """Ask for a call, or join the one that an earlier attempt of the caller's had made."""
        call = slot.call
        assert call is not None  # noqa: S101 - only those with a call wait
        if call in self.running:
            self.running[call].append(slot)
            return
        if call.status != "new":
            self.joined.append(call.id)
        elif self.owner is not None:
            call.fan_in = self.owner.id
        self.running[call] = [slot]
        try:
            if ask(call, self):
                self.judge(call)
        except FanwiseError as error:
            slot.error = error
            del self.running[call]

    def call_ended(self, call: Call[Any]) -> None:
        """Take the end of a call, and start the next in its place."""
        self.judge(call)
        self.context.run(self.fill)  # not in the context of the call that ended

    def judge(self, call: Call[Any]) -> None:
        """Learn from how a call ended whether its tool may be called again."""
        name = self.running.pop(call)[0].asked.name
        error = call.error
        if isinstance(error, MISTAKES):
            self.mistake = self.mistake or error
            self.over = True
            self.wake()
        elif isinstance(error, BreakerOpen):
            self.refused[name] = unavailable(name, "it failed too often lately")
        if call.status in {"ok", "failed", "timed_out"} and not isinstance(error, DeadlinePassed):
            count = failures_in(call.run)
            count[name] = 0 if call.status == "ok" else count.get(name, 0) + 1

    def refusal_of(self, name: str) -> str | None:
        """Say why a tool is not called now, if so."""
        assert self.owner is not None  # noqa: S101 - it is let go last
        failed = failures_in(self.owner.run).get(name, 0)
        if self.most is not None and failed >= self.most:
            return (
                f"{name} is unavailable, it failed {failed} times in a row: do not call it again, "
                "go on without it"
            )
        return self.refused.get(name)

    def wake(self) -> None:
        """Tell the pattern's task."""
        if self.future is not None and not self.future.done():
            self.future.set_result(None)

    async def ended(self, within: float | None) -> None:
        """Wait until all calls have ended, `within` seconds at most."""
        loop = get_running_loop()
        timer = None if within is None else loop.call_at(loop.time() + within, self.stop)
        if within == 0:
            self.stop()
        try:
            while (self.running or self.waiting) and not self.over:
                self.future = loop.create_future()
                await self.future
        finally:
            if timer is not None:
                timer.cancel()
        if self.mistake is not None:
            raise self.mistake

    def stop(self) -> None:
        """Start nothing more, and wait no longer: the time is over."""
        self.over = True
        self.stopped = get_running_loop().time()
        self.wake()

    async def let_go(self, why: str) -> None:
        """Leave what still runs and await what that cancels; `why` is what the model is told."""
        self.over = True
        for slot in (*self.waiting, *self.held):
            slot.refuse(f"{slot.asked.name} was not called: {why}")
        ending = Ending()
        for call, slots in list(self.running.items()):
            for slot in slots:
                slot.error = TimedOut(why)
            if call.status in LIVE and leave(call, self):
                ending.add(call)
        self.running.clear()
        await ending.wait()
        self.owner = None

    def __repr__(self) -> str:
        """Count."""
        return f"<ToolWork of {len(self.slots)} calls, {len(self.running)} running>"


def failures_in(run: Run) -> dict[str, int]:
    """Give how often each tool failed in a row, in one run."""
    return _failures.setdefault(run, {})


def why_broken(text: str) -> str:
    """Say where a text stops being a JSON object."""
    reader = JsonReader()
    reader.feed(text)
    reader.end()
    return reader.error or "another value"
