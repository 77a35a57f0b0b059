"""Runs a random program on the virtual clock, and notes everything that breaks a promise."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
import warnings
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fanwise.core import (
    Call,
    FanwiseError,
    Limit,
    NotDone,
    NotEnough,
    Runtime,
    current,
    deadline,
    step,
)
from fanwise.core._watchers import excuse
from fanwise.patterns import (
    batch,
    bind,
    fan_map,
    fan_out,
    first,
    pipeline,
    speculate,
    stage,
    tree_reduce,
    vote,
)
from fanwise.stores import MemoryJournal
from fanwise.testing import no_orphans, run_virtual
from tests.fuzz.checks import (
    ballot_of,
    check_fan_in,
    check_nobody,
    check_rest,
    check_runtime,
    fits,
    ids_of,
)
from tests.fuzz.programs import (
    GRID,
    WIDTHS,
    Act,
    FanMap,
    FanOut,
    First,
    Guess,
    Items,
    Leaf,
    Part,
    Pipe,
    Plain,
    Poll,
    Sub,
    Tree,
    nodes_of,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from tests.fuzz.programs import Node, Program


class Wrong(Exception):
    """A failure that no retry helps."""


class Flaky(ConnectionError):
    """A failure that may pass."""


EXPECTED = (Wrong, Flaky, FanwiseError, TimeoutError)


@dataclass
class World:
    """One execution of a program: what its bodies did, and what was wrong."""

    program: Program
    problems: list[str] = field(default_factory=list)
    inside: dict[str, int] = field(default_factory=dict)
    bodies: dict[int, int] = field(default_factory=dict)  # executions, by the id of the call
    written: dict[int, int] = field(default_factory=dict)  # writes that may have happened, by node
    open: dict[int, int] = field(default_factory=dict)  # generators, by the id of their call

    def __post_init__(self) -> None:
        self.nodes = {it.id: it for it in nodes_of(self.program) if hasattr(it, "id")}
        self.time: Callable[[], float] = float

    def wrong(self, text: str) -> None:
        self.problems.append(f"{self.time():g} s: {text}")

    # Bodies of steps

    async def act(self, act: Act, bare: bool) -> None:
        """Wait and end as told; a cancellation may be outlived for a while."""
        try:
            await asyncio.sleep(act.delay)
        except asyncio.CancelledError:
            if act.swallow is None:
                raise
            try:
                await asyncio.sleep(act.swallow)
            except asyncio.CancelledError:
                if bare:
                    self.wrong("a second cancellation was sent to a bare step")
                raise
        end_of(act)

    @contextmanager
    def body(self, node: Node, policy: dict[str, Any]) -> Iterator[int]:
        """Count this execution, and who is inside the same limit."""
        me = current()
        limit = policy.get("limit")
        call = me._call.id
        self.bodies[call] = self.bodies.get(call, 0) + 1
        if limit is not None:
            self.inside[limit] = now = self.inside.get(limit, 0) + 1
            if now > WIDTHS.get(limit, 2):
                self.wrong(f"{now} bodies inside the limit {limit!r}")
        if "effect" in policy and "keyed" not in policy:
            self.note_write(node, me.attempt)
        try:
            yield me.attempt
        finally:
            if limit is not None:
                self.inside[limit] -= 1

    def note_write(self, node: Node, attempt: int) -> None:
        """A write that may have happened is never sent again, whatever retries or hedges above it."""
        acts = getattr(node, "acts", ())
        done = acts[min(attempt, len(acts)) - 1].end != "not done"
        if self.written.get(node.id):
            self.wrong(f"the write {node.id} was sent twice")
        self.written[node.id] = self.written.get(node.id, 0) + done

    def check_inputs(self, node: Leaf, values: tuple[Any, ...]) -> None:
        for it, value in zip(node.inputs, values, strict=True):
            if not fits(self, it, value):
                self.wrong(f"leaf {node.id} got {value!r} as the value of {it.id}")

    def leaf_step(self, policy: dict[str, Any], plain: bool, broken: bool = False) -> Any:
        async def leaf(number: int, *inputs: Any) -> Any:
            node = self.nodes[number]
            self.check_inputs(node, inputs)
            with self.body(node, policy) as attempt:
                act = node.acts[min(attempt, len(node.acts)) - 1]
                await self.act(act, not policy)
            return ("v", number)

        def plain_leaf(number: int, *inputs: Any) -> Any:
            node = self.nodes[number]
            self.check_inputs(node, inputs)
            with self.body(node, policy) as attempt:
                end_of(node.acts[min(attempt, len(node.acts)) - 1])
            return ("v", number)

        return step(**policy, **broken_key(broken))(plain_leaf if plain else leaf)

    def items_step(self, policy: dict[str, Any]) -> Any:
        async def items(number: int) -> AsyncIterator[Any]:
            node = self.nodes[number]
            call = current()._call.id
            self.open[call] = self.open.get(call, 0) + 1
            try:
                with self.body(node, policy) as attempt:
                    place = min(attempt, len(node.acts)) - 1
                    for index, wait in enumerate(node.waits[place]):
                        await self.act(Act(wait, swallow=node.acts[place].swallow), bare=False)
                        yield ("i", number, attempt, index)
                    await self.act(node.acts[place], not policy)
            finally:
                self.open[call] -= 1

        return step(**policy)(items)

    def sub_step(self, policy: dict[str, Any]) -> Any:
        async def sub(number: int) -> Any:
            node = self.nodes[number]
            with self.body(node, policy):
                if node.deadline is None:
                    await self.statements(node)
                else:
                    with deadline(node.deadline):
                        await self.statements(node)
                await self.act(node.act, bare=False)
            return ("v", number)

        return step(**policy)(sub)

    def reduce_step(self, node: Tree) -> Any:
        async def reduce(members: list[Any]) -> Any:
            found = [number for member in members for number in ids_of(member)]
            if found != sorted(found):
                self.wrong(f"tree {node.id} reduced out of order: {found}")
            with self.body(node, {}):
                await self.act(node.act, bare=False)
            return ("r", tuple(found))

        return reduce

    # Statements

    async def statements(self, node: Sub) -> None:
        made: dict[int, Any] = {}
        try:
            for how, seconds, inner in node.body:
                await getattr(self, f"do_{how}")(inner, seconds, made)
        finally:
            for call in made.values():
                if isinstance(call, asyncio.Task):  # the user's own, which a pattern left alone
                    call.cancel()

    async def do_await(self, node: Node, _: float, made: dict[int, Any]) -> None:
        await self.perform(node, made)

    async def do_catch(self, node: Node, _: float, made: dict[int, Any]) -> None:
        with suppress(EXPECTED):
            await self.perform(node, made)

    async def do_cancel(self, node: Node, seconds: float, made: dict[int, Any]) -> None:
        """Cancel a task of the user's own that awaits."""
        task = asyncio.create_task(self.perform(node, made))
        await self.cancelled_after(task, seconds)

    async def do_leave(self, node: Node, seconds: float, made: dict[int, Any]) -> None:
        """Two wait for the same call; one of them leaves."""
        stays = asyncio.create_task(self.perform(node, made))
        leaves = asyncio.create_task(self.perform(node, made))
        try:
            await self.cancelled_after(leaves, seconds)
            await asyncio.wait([stays])
        finally:
            await self.cancelled_after(stays, 0)

    async def cancelled_after(self, task: asyncio.Task[Any], seconds: float) -> None:
        try:
            if seconds:
                await asyncio.wait([task], timeout=seconds)
        finally:
            task.cancel()
            cancelled = False
            while not task.done():
                try:
                    await asyncio.wait([task])
                except asyncio.CancelledError:
                    cancelled = True
            self.look_at(task)
            if cancelled:
                raise asyncio.CancelledError

    def look_at(self, task: asyncio.Task[Any]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, EXPECTED):
            self.wrong(f"unexpected {error!r}")

    async def do_timeout(self, node: Node, seconds: float, made: dict[int, Any]) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self.perform(node, made)
        except EXPECTED:
            pass

    async def perform(self, node: Node, made: dict[int, Any]) -> None:
        """Await the call of a node, and look at what came."""
        try:
            call = self.make(node, made)
        except EXPECTED:
            excuse_made(made.values())
            raise
        if isinstance(node, FanMap) and node.stop is not None and call.status == "new":
            await self.stream(node, call)
            return
        if isinstance(node, Items) and node.stop is not None and call.status == "new":
            await self.read(node, call)
            return
        try:
            value = await call
        except NotEnough as error:
            if isinstance(node, (FanOut, FanMap)):
                check_fan_in(self, node, error.found, raised=True)
            elif isinstance(node, Poll):
                check_nobody(self, node, error.found)
            raise
        if not fits(self, node, value):
            self.wrong(f"node {node.id} gave {value!r}")

    async def stream(self, node: FanMap, call: Any) -> None:
        seen: set[int] = set()
        async with call.stream() as outcomes:
            async for outcome in outcomes:
                if outcome.index in seen:
                    self.wrong(f"the stream {node.id} gave item {outcome.index} twice")
                seen.add(outcome.index)
                if outcome.item != node.items[outcome.index].id:
                    self.wrong(f"the stream {node.id} mixed its items up: {outcome.item}")
                item = node.items[outcome.index]
                if outcome.status == "ok" and not fits(self, item, outcome.value):
                    self.wrong(f"the stream {node.id} gave {outcome!r} for {outcome.item}")
                if len(seen) == node.stop:
                    break

    async def read(self, node: Items, call: Any) -> None:
        seen: list[Any] = []
        try:
            async with call as items:
                async for item in items:
                    seen.append(item)
                    if len(seen) == node.stop:
                        break
                    await asyncio.sleep(node.gap)
                else:
                    if not fits(self, node, seen):
                        self.wrong(f"the stream {node.id} ended with {seen}")
        finally:
            if [(*it[:2], it[3]) for it in seen] != [("i", node.id, at) for at in range(len(seen))]:
                self.wrong(f"the stream {node.id} gave {seen}")
            if len({it[2] for it in seen}) > 1:
                self.wrong(f"the stream {node.id} mixed its attempts: {seen}")
            if self.open.get(call.id):
                self.wrong(f"the stream {node.id} was left and its generator is open")

    # Calls

    def make(self, node: Node, made: dict[int, Any]) -> Any:
        """Make the call of a node, or take the one that was made for another place."""
        if node.id not in made:
            made[node.id] = getattr(self, f"make_{type(node).__name__.lower()}")(node, made)
        return made[node.id]

    def make_node(self, node: Node, _: dict[int, Any]) -> Any:
        return ("v", node.id)

    def make_leaf(self, node: Leaf, made: dict[int, Any]) -> Call[Any]:
        inputs = [self.make(it, made) for it in node.inputs]
        return bind(self.leaf_step(node.policy, node.plain), node.id, *inputs)

    def make_items(self, node: Items, _: dict[int, Any]) -> Call[Any]:
        return self.items_step(node.policy)(node.id)

    def make_sub(self, node: Sub, _: dict[int, Any]) -> Call[Any]:
        return self.sub_step(node.policy)(node.id)

    def make_plain(self, node: Plain, _: dict[int, Any]) -> Any:
        async def awaitable() -> Any:
            await self.act(node.act, bare=False)
            return ("v", node.id)

        if not node.task:
            return awaitable()
        task = asyncio.create_task(awaitable())
        task.add_done_callback(lambda it: it.cancelled() or it.exception())
        return task

    def make_fanout(self, node: FanOut, made: dict[int, Any]) -> Call[Any]:
        return fan_out(*[self.make(it, made) for it in node.branches], **node.schedule)

    def make_fanmap(self, node: FanMap, _: dict[int, Any]) -> Call[Any]:
        mapped = self.leaf_step(node.policy, False, broken=node.source == "broken key")
        return fan_map(mapped, self.items(node), **node.schedule)

    def make_pipe(self, node: Pipe, _: dict[int, Any]) -> Call[Any]:
        parts: list[Any] = []
        for part in node.parts:
            if part.batch is not None:
                parts.append(batch(part.batch, linger=part.linger))
            made = self.part_step(part)
            parts.append(stage(made, at_once=part.at_once, buffer=part.buffer))
        first_stage = stage(self.named_step())
        return pipeline(self.items(node), first_stage, *parts, **node.schedule)

    def named_step(self) -> Any:
        @step
        async def name(number: int) -> Any:
            return ("v", number)

        return name

    def part_step(self, part: Part) -> Any:
        def act_of(value: Any) -> Act:
            return part.acts[value[1] % len(part.acts)]

        async def plain(value: Any) -> Any:
            with self.body(part, part.policy):
                await self.act(act_of(value), not part.policy)
            return value

        async def batched(values: list[Any]) -> list[Any]:
            if not 0 < len(values) <= (part.batch or 0):
                self.wrong(f"a batch of {len(values)} for {part.id}")
            with self.body(part, part.policy):
                await self.act(act_of(values[0]), not part.policy)
            return [it for it in values if it[1] != part.short]

        async def spreads(value: Any) -> AsyncIterator[Any]:
            with self.body(part, part.policy):
                for _ in range(part.spreads or 0):
                    yield value
                    await asyncio.sleep(GRID)
                end_of(act_of(value))

        if part.spreads is not None:
            return step(**part.policy)(spreads)
        return step(**part.policy)(plain if part.batch is None else batched)

    def make_first(self, node: First, made: dict[int, Any]) -> Call[Any]:
        branches = [self.make(it, made) for it in node.branches]
        return first(*branches, stagger=node.stagger, accept=accepted if node.accept else None)

    def make_poll(self, node: Poll, made: dict[int, Any]) -> Call[Any]:
        branches = [self.make(it, made) for it in node.branches]
        return vote(branches, key=ballot_of, wave=node.wave, stop_at=node.stop_at)

    def make_guess(self, node: Guess, made: dict[int, Any]) -> Call[Any]:
        def then(value: Any) -> Any:
            """Make the call anew: it is equal to a guess, not the same."""
            if not fits(self, node.planner, value):
                self.wrong(f"the planner of {node.id} gave {value!r}")
            return value if node.wanted is None else self.make_leaf(node.wanted, {})

        planner = self.make(node.planner, made)
        return speculate(planner, then, guess=[self.make(it, made) for it in node.guesses])

    def make_tree(self, node: Tree, made: dict[int, Any]) -> Call[Any]:
        items = [self.make(it, made) for it in node.items]
        reduce = self.reduce_step(node)
        if node.keys is None:
            return tree_reduce(reduce, items, arity=node.arity)
        keys = node.keys
        return tree_reduce(reduce, items, arity=node.arity, key=lambda value: value[1] % keys)

    def items(self, node: FanMap) -> Any:
        numbers = [it.id for it in node.items]
        if node.source in ("list", "broken key"):
            return numbers
        if node.source in ("iterator", "raises"):
            return read(numbers, breaks=node.source == "raises")
        return read_async(numbers, node)


def read(numbers: list[int], *, breaks: bool) -> Iterator[int]:
    yield from numbers
    if breaks:
        raise Flaky("the source broke")


async def read_async(numbers: list[int], node: FanMap) -> AsyncIterator[int]:
    try:
        for number in numbers:
            await wait_for_source(node)
            yield number
        if node.source == "async stray":
            raise asyncio.CancelledError
        if node.source == "async raises":
            raise Flaky("the source broke")
    finally:
        if node.source == "breaks when closed":
            raise Flaky("the source broke")


async def wait_for_source(node: FanMap) -> None:
    try:
        await asyncio.sleep(node.gap)
    except asyncio.CancelledError:
        if node.source != "stubborn":
            raise
        await asyncio.sleep(GRID)


def broken_key(broken: bool) -> dict[str, Any]:
    """A `key=` that fails for every third item: it is asked under retries, hedges and journals."""

    def key(number: int) -> int:
        if number % 3 == 0:
            raise Wrong(number)
        return number

    return {"key": key} if broken else {}


def accepted(value: Any) -> bool:
    return not (isinstance(value, tuple) and isinstance(value[1], int) and value[1] % 2)


def excuse_made(parts: Any) -> None:
    """What was made before another part could not be made is never awaited, and need not be."""
    for part in parts:
        if asyncio.iscoroutine(part):
            part.close()
        elif isinstance(part, Call):
            excuse(part)


def end_of(act: Act) -> None:
    """Raise what the act says, if anything."""
    if act.end == "flaky":
        raise Flaky
    if act.end == "wrong":
        raise Wrong
    if act.end == "not done":
        raise NotDone
    if act.end == "stray":
        raise asyncio.CancelledError


async def run_program(world: World) -> None:
    """Run the program in a task of its own, and cancel or drain when its time has come."""
    loop = asyncio.get_running_loop()
    world.time = loop.time
    loop.set_exception_handler(lambda _, context: world.wrong(f"loop: {context}"))
    limits = {name: Limit(at_once=width) for name, width in WIDTHS.items()}
    limits["depth *"] = Limit(at_once=2)
    async with no_orphans():
        async with Runtime(seed=1, limits=limits) as runtime:
            if world.program.journal:
                runtime.journal = MemoryJournal()
            run = runtime.start(world.sub_step(world.program.main.policy)(world.program.main.id))
            await until_end(world, runtime, run.task)
        if not run.task.done():
            world.wrong("the runtime was left while its run still ran")
        else:
            world.look_at(run.task)
        check_runtime(world, runtime)
        last = max((when for when, _ in world.program.events), default=0)
        await asyncio.sleep(max(0, last - loop.time()) + 1)


async def until_end(world: World, runtime: Runtime, task: asyncio.Task[Any]) -> None:
    """Wait for the end of the run, or for the instant at which its runtime is left."""
    loop = asyncio.get_running_loop()
    sent: list[bool] = []
    left: list[float] = []
    for when, what in world.program.events:
        if what == "drain":
            loop.call_at(when, runtime.drain)
        elif what == "leave":
            left.append(when)
        else:
            loop.call_at(when, lambda: sent.append(task.cancel()))
    await asyncio.wait([task], timeout=min(left) if left else None)
    if task.done():
        world.look_at(task)
        if any(sent) and not task.cancelled():
            world.wrong(f"a cancellation was swallowed; the run ended with {task!r}")
        check_rest(world, runtime)


@contextmanager
def cheap_collections() -> Iterator[None]:
    """Let the collector leave alone what lives already: a collection a program costs little then."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def execute(program: Program, seed: int, order: Any) -> list[str]:
    """Run a program; give what was wrong with it."""
    world = World(program)
    caught: list[str] = []
    hook = sys.unraisablehook
    sys.unraisablehook = lambda it: caught.append(f"unraisable: {it.exc_value!r} in {it.object!r}")
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            try:
                run_virtual(run_program(world), seed=seed, order=order, horizon=1000)
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt):
                    raise
                caught.append(f"{type(error).__name__}: {error}")
            world.nodes.clear()
            gc.collect()
        caught += [f"warning: {it.message} ({it.filename}:{it.lineno})" for it in warned]
    finally:
        sys.unraisablehook = hook
    return world.problems + caught


def silence() -> None:
    """Keep the engine's warnings about children that were left, which programs provoke, quiet."""
    logging.getLogger("fanwise").setLevel(logging.CRITICAL)
