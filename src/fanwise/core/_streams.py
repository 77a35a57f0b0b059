"""The call of a stream, and its one reader.

Awaited, the call gives the list of the items like any other call. Read, its items go through a
place for one (see `fanwise.core._items`), and nobody else can have them.
"""

from __future__ import annotations

from asyncio import Future, current_task, get_running_loop
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from fanwise.core._call import Call
from fanwise.core._errors import CallDropped, LimitUnknown, StreamTaken, TimedOut
from fanwise.core._scope import CURRENT
from fanwise.core._watch import ask, failure_of, leave
from fanwise.core._watchers import LIVE, Ending, excuse

if TYPE_CHECKING:
    from types import TracebackType

    from fanwise.core._items import Reader

T = TypeVar("T")


class StreamCall(Call[list[T]], Generic[T]):
    """The call of a stream: `async with` reads it item by item, `await` gives the list."""

    __slots__ = ("reader", "taken")

    reader: Reader | None
    taken: bool

    async def __aenter__(self) -> Stream[T]:
        """Start it, and give what is iterated.

        Raises `StreamTaken` where the call was asked for before: it has one reader, once.
        """
        if self.taken or self.status != "new":
            what = "has a reader already" if self.taken else f"is {self.status} already, as a list"
            msg = f"{self.name} {what}: a stream is read once, by one reader; make a second call"
            raise StreamTaken(msg)
        stream = Stream(self)
        self.taken = True
        self.reader = stream
        here = CURRENT.get()
        stream.owner = None if here is None else here.call
        if not ask(self, stream, here) and self._keeps_others_waiting():
            self.run.runtime.reading[self] = current_task()
        return stream

    def _keeps_others_waiting(self) -> bool:
        """Say whether it has a slot, or a part of a budget, until it is read."""
        limit = self.policy.limit
        if limit is not None:
            with suppress(LimitUnknown):  # which the call itself will say
                width = self.run.runtime.width(limit)
                if width.is_held:
                    width.nested = True
                    return True
        return not self.run.plain

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Cancel the call where it has not ended, and await it: its generator is closed.

        Raises what the generator raises while it is being closed, unless the block raised.
        """
        stream = self.reader
        self.reader = None  # they refer to each other
        if not isinstance(stream, Stream):
            return
        stream.close()
        self.run.runtime.reading.pop(self, None)
        if not leave(self, stream):
            return
        await Ending(self).wait()
        raised = self.error
        if kind is None and self.status == "cancelled" and isinstance(raised, Exception):
            if isinstance(raised, TimedOut):
                return  # on this same instant
            try:
                raise raised.with_traceback(self.trace)
            finally:
                del raised, self

    if not TYPE_CHECKING:  # type checkers refuse it by themselves

        def __aiter__(self) -> object:
            """Refuse: a `break` would leave the generator running."""
            msg = (
                "read a stream in its block, so that leaving the loop closes the generator:\n"
                f"    async with {self.step.name}(...) as stream:\n"
                "        async for item in stream: ..."
            )
            excuse(self)
            raise TypeError(msg)


class Stream(Generic[T]):
    """The items of one call, in order, for one reader; one is made ahead of what it asks for."""

    __slots__ = ("_arrival", "_call", "_items", "_room", "_time", "begun", "owner", "waited")

    # Both until its block is left, lest they keep each other alive.
    _call: StreamCall[T] | None
    owner: Call[Any] | None
    begun: bool
    waited: float

    def __init__(self, call: StreamCall[T]) -> None:
        """Read `call`."""
        self._call = call
        self._items: list[T] = []  # one; more where the generator had timeouts of its own
        self._arrival: Future[None] | None = None
        self._room: Future[None] | None = None
        self._time = get_running_loop().time
        self.begun = False
        self.owner: Call[Any] | None = None
        self.waited = 0.0

    def __aiter__(self) -> Stream[T]:
        """Iterate; a second loop in the same block goes on where the first one stopped."""
        return self

    async def __anext__(self) -> T:
        """Give the next item; raise what the stream failed of where that comes instead.

        Cancelled, it takes nothing: the item is there for the next time.
        """
        while not self._items:
            call = self._call
            if call is None:
                msg = "the block of this stream was left, so it gives no item any more"
                raise CallDropped(msg)
            if call.status not in LIVE:
                if call.status == "ok":
                    raise StopAsyncIteration
                error, trace = failure_of(call)
                # The frame stands in the error's traceback: it must not lead back here.
                del self, call
                try:
                    raise error.with_traceback(trace)
                finally:
                    del error, trace
            if self._arrival is not None:
                msg = f"{call.name} is being read by another task: a stream has one reader"
                raise StreamTaken(msg)
            self._arrival = get_running_loop().create_future()
            try:
                await self._arrival
            finally:
                self._arrival = None
        if self._room is not None and not self._room.done():
            self._room.set_result(None)
        return self._items.pop(0)

    async def arrives(self) -> bool:
        """Wait for the next item without taking it; say whether there is one before the end."""
        while not self._items:
            if self._call is None or self._call.status not in LIVE:
                return False
            self._arrival = get_running_loop().create_future()
            try:
                await self._arrival
            finally:
                self._arrival = None
        return True

    def offer(self, item: T) -> bool:
        """Hand an item to a reader that waits for one; say whether it did. For the engine."""
        if self._items or self._arrival is None:
            return False
        self.begun = True
        self._items.append(item)
        self._wake()
        return True

    async def put(self, item: T) -> None:
        """Hand an item over, and return when it was taken; for the engine."""
        self.begun = True
        try:
            if self._items:
                await self._taken()
        finally:
            self._items.append(item)
        self._wake()
        await self._taken()

    async def _taken(self) -> None:
        time = self._time
        began = time()
        self._room = get_running_loop().create_future()
        try:
            await self._room
        finally:
            self._room = None
            self.waited += time() - began

    @property
    def full(self) -> bool:
        """Whether an item waits to be taken."""
        return bool(self._items)

    def call_ended(self, call: Call[Any]) -> None:
        """Take note that nothing follows."""
        call.run.runtime.reading.pop(call, None)
        self._wake()

    @property
    def future(self) -> Future[None] | None:
        """What its reader waits for."""
        return self._arrival

    def close(self) -> None:
        """Give no item any more."""
        self._items.clear()
        self._call = self.owner = None
        self._wake()

    def _wake(self) -> None:
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)

    def __repr__(self) -> str:
        """Name the call."""
        if self._call is None:
            return "<stream that was left>"
        return f"<stream of {self._call!r}, {len(self._items)} to be taken>"
