"""Random programs as values: drawn from a seed, printed, made smaller.

A program is a tree of nodes. A node that stands in two places is one call shared by both. All
times lie on a grid of 0.25 s, so that most programs hold several things on one instant.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from fanwise.core import Breaker, Hedge, Retry, Timeout

if TYPE_CHECKING:
    from collections.abc import Iterator

GRID = 0.25
FRAGILE = Breaker(share=0.5, window=2.0, minimum=2, pause=0.5)
RETRIES = (
    Retry(attempts=2, shortest=0, longest=0),
    Retry(attempts=3, shortest=0, longest=0),
    Retry(attempts=3, shortest=GRID),
)
HEDGES = tuple(Hedge(after=n * GRID, more=more) for n in (0, 1, 2) for more in (1, 2))
WIDTHS = {"one": 1, "two": 2, "three": 3}
ENDS = ("ok",) * 14 + ("flaky", "flaky", "wrong", "stray")


@dataclass(eq=False)
class Act:
    """What one attempt does: wait, then end; `swallow` is how long it outlives a cancellation."""

    delay: float = 0.0
    end: str = "ok"
    swallow: float | None = None


@dataclass(eq=False)
class Node:
    """A place of the program; its value names it."""

    id: int


@dataclass(eq=False)
class Leaf(Node):
    """A step that waits and ends; with `inputs` a bound call. `acts` are its attempts."""

    acts: list[Act]
    policy: dict[str, Any]
    plain: bool = False
    inputs: list[Node] = field(default_factory=list)


@dataclass(eq=False)
class Sub(Node):
    """A step that runs statements: (how, seconds, node), one after the other."""

    body: list[tuple[str, float, Node]]
    policy: dict[str, Any]
    deadline: float | None = None
    act: Act = field(default_factory=Act)


@dataclass(eq=False)
class Plain(Node):
    """An awaitable without any step: a coroutine, or a task of the user's own."""

    act: Act
    task: bool = False


@dataclass(eq=False)
class FanOut(Node):
    """`fan_out`."""

    branches: list[Node]
    schedule: dict[str, Any]


@dataclass(eq=False)
class FanMap(Node):
    """`fan_map`; `source` says how it is read, `stop` where its stream is left (None: awaited)."""

    items: list[Leaf]
    policy: dict[str, Any]
    schedule: dict[str, Any]
    source: str = "list"
    gap: float = 0.0
    stop: int | None = None


@dataclass(eq=False)
class Piped(Leaf):
    """An item of a pipeline; with `many` its value is a list of pieces."""

    many: bool = False


@dataclass(eq=False)
class Part(Node):
    """A stage: plain, after a batch, or one-to-many. `short` is the item for which a list is short."""

    acts: list[Act]  # by the number of the first item
    policy: dict[str, Any]
    at_once: int = 1
    buffer: int | None = None
    batch: int | None = None
    linger: float | None = None
    spreads: int | None = None
    short: int | None = None


@dataclass(eq=False)
class Pipe(FanMap):
    """`pipeline`, read and left as a `fan_map` is."""

    parts: list[Part] = field(default_factory=list)


@dataclass(eq=False)
class Items(Node):
    """A stream; each attempt gives items after `waits`, then does its act. `stop`: read so many."""

    waits: list[list[float]]
    acts: list[Act]
    policy: dict[str, Any]
    gap: float = 0.0
    stop: int | None = None


@dataclass(eq=False)
class First(Node):
    """`first`; `accept` refuses the values of nodes with an odd id."""

    branches: list[Node]
    stagger: tuple[float, ...] | None = None
    accept: bool = False


@dataclass(eq=False)
class Poll(Node):
    """`vote`; values are counted as odd, even or of another kind."""

    branches: list[Node]
    wave: int | None = None
    stop_at: float | None = None


@dataclass(eq=False)
class Guess(Node):
    """`speculate`: the planner wants `wanted`, which may stand among the guesses, or no call."""

    planner: Node
    guesses: list[Node]
    wanted: Leaf | None


@dataclass(eq=False)
class Tree(Node):
    """`tree_reduce`; items without a call are plain values."""

    items: list[Node]
    act: Act
    arity: int = 2
    keys: int | None = None


@dataclass(eq=False)
class Program:
    """A main step, and what happens to it from outside: (seconds, "cancel", "drain" or "leave").

    With `journal` every call has its identity, and its result is committed.
    """

    main: Sub
    events: list[tuple[float, str]]
    journal: bool = False


class Draw:
    """Draws a program of about `size` nodes."""

    def __init__(self, seed: int, size: int) -> None:
        self.random = random.Random(seed)
        self.left = size
        self.count = 0
        self.shared: list[list[Node]] = []
        self.races = 0  # writes are refused below a race

    def program(self) -> Program:
        main = self.sub(0)
        events = [
            (self.ticks(6), self.random.choice(("cancel", "cancel", "drain", "leave")))
            for _ in range(self.random.choice((0, 0, 1, 1, 2)))
        ]
        return Program(main, events, journal=self.chance(0.1))

    # Small things

    def id(self) -> int:
        self.count += 1
        self.left -= 1
        return self.count

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def ticks(self, most: int) -> float:
        return self.random.randint(0, most) * GRID

    def maybe(self, share: float, most: int) -> float | None:
        return self.ticks(most) if self.chance(share) else None

    def act(self) -> Act:
        swallow = self.ticks(6) if self.chance(0.1) else None
        return Act(self.ticks(4), self.random.choice(ENDS), swallow)

    def policy(self, limit: str | None) -> dict[str, Any]:
        policy: dict[str, Any] = {}
        if self.chance(0.25):
            policy["timeout"] = self.ticks(4)
        if self.chance(0.25):
            policy["retry"] = self.random.choice(RETRIES)
        if self.chance(0.2):
            policy["hedge"] = self.random.choice(HEDGES)
        if limit is not None:
            policy["limit"] = limit
        return policy

    def leaf_policy(self) -> dict[str, Any]:
        limit = self.random.choice(sorted(WIDTHS)) if self.chance(0.3) else None
        policy = self.policy(limit)
        if self.chance(0.1):
            policy["breaker"] = FRAGILE
        return policy

    def maybe_write(self, policy: dict[str, Any]) -> dict[str, Any]:
        """Turn some reads into writes: no hedge, and `keyed` for some."""
        if self.races or not self.chance(0.1):
            return policy
        rest = {name: value for name, value in policy.items() if name != "hedge"}
        return rest | {"effect": "write"} | ({"keyed": True} if self.chance(0.3) else {})

    def schedule(self, branches: int) -> dict[str, Any]:
        schedule: dict[str, Any] = {}
        if self.chance(0.6):
            schedule["need"] = self.random.choice((0, 1, "50%", "all"))
            if schedule["need"] == 1 and branches == 0:
                schedule["need"] = 0
        if self.chance(0.3) and branches:
            least = {"all": 0, "50%": (branches + 1) // 2}
            need = schedule.get("need", "all")
            schedule["enough"] = self.random.randint(least.get(need, need), branches)
        if (within := self.maybe(0.3, 6)) is not None:
            schedule["within"] = within
        if self.chance(0.3):
            schedule["at_once"] = self.random.randint(1, 3)
        return schedule

    # Nodes

    def leaf(self) -> Leaf:
        acts = [self.act() for _ in range(self.random.randint(1, 3))]
        policy = self.maybe_write(self.leaf_policy())
        if "effect" in policy and self.chance(0.5):
            acts[0].end = "not done"
        return Leaf(self.id(), acts, policy, self.chance(0.15))

    def bound(self, depth: int) -> Leaf:
        leaf = self.leaf()
        inputs = [self.node(depth) for _ in range(self.random.randint(1, 3))]
        leaf.inputs = [*{it.id: it for it in inputs if not isinstance(it, Plain)}.values()]
        return leaf

    def sub(self, depth: int) -> Sub:
        """Draw a step with a body; widths of such steps go by depth, so that none waits in a ring."""
        me = self.id()
        self.shared.append([])
        body = []
        for _ in range(self.random.randint(1, 3)):
            how = self.random.choice(("await", "catch", "catch", "cancel", "leave", "timeout"))
            node = self.node(depth + 1)
            if isinstance(node, Plain):  # a coroutine has one reader
                how = "catch"
            body.append((how, self.ticks(5), node))
        self.shared.pop()
        limit = f"depth {self.random.randint(1, depth)}" if depth and self.chance(0.2) else None
        act = self.act()
        act.delay /= 2 if self.chance(0.5) else 1
        return Sub(me, body, self.policy(limit), self.maybe(0.2, 8), act)

    def branches(self, depth: int, least: int) -> list[Node]:
        number = self.random.randint(least, 4)
        drawn = [self.node(depth) for _ in range(number)]
        return [*{it.id: it for it in drawn}.values()]

    def fan_out(self, depth: int) -> FanOut:
        me = self.id()
        branches = self.branches(depth, 0)
        return FanOut(me, branches, self.schedule(len(branches)))

    def fan_map(self, depth: int) -> FanMap:
        me = self.id()
        items = [Leaf(self.id(), [self.act()], {}) for _ in range(self.random.randint(0, 5))]
        schedule = {"at_once": 2, **self.schedule(len(items))}
        source = self.random.choice(
            (
                "list",
                "iterator",
                "async",
                "async",
                "raises",
                "async raises",
                "async stray",
                "breaks when closed",
                "stubborn",
                "broken key",
            )
        )
        stop = self.random.randint(0, 4) if self.chance(0.4) else None
        policy = self.maybe_write(self.leaf_policy())
        return FanMap(me, items, policy, schedule, source, self.ticks(2), stop)

    def part(self, items: list[Piped]) -> Part:
        part = Part(self.id(), [self.act() for _ in range(3)], self.leaf_policy())
        part.at_once = self.random.randint(1, 3)
        part.buffer = self.random.choice((None, 0, 2))
        if self.chance(0.3):
            part.batch = self.random.randint(1, 3)
            part.linger = self.maybe(0.5, 3)
            if items and self.chance(0.15):
                part.short = self.random.choice(items).id
        elif self.chance(0.3):
            part.spreads = self.random.randint(0, 3)
        return part

    def pipe(self, depth: int) -> Pipe:
        mapped = self.fan_map(depth)
        mapped.schedule.pop("at_once")
        mapped.schedule.pop("enough", None)
        mapped.schedule.setdefault("need", 0)
        items = [Piped(it.id, it.acts, it.policy) for it in mapped.items]
        parts = [self.part(items) for _ in range(self.random.randint(1, 3))]
        for it in items:
            it.many = any(part.spreads is not None for part in parts)
        source = "list" if mapped.source == "broken key" else mapped.source
        rest = {"source": source, "gap": mapped.gap, "stop": mapped.stop, "parts": parts}
        return Pipe(mapped.id, items, {}, mapped.schedule, **rest)

    def items(self) -> Items:
        """Draw a stream, awaited or read for so many items."""
        number = self.random.randint(1, 3)
        waits = [[self.ticks(2) for _ in range(self.random.randint(0, 4))] for _ in range(number)]
        policy = self.maybe_write(self.leaf_policy())
        if "effect" not in policy and self.chance(0.3):
            policy["hedge"] = self.random.choice(HEDGES)
        if self.chance(0.4):
            bounds = {name: self.ticks(3) for name in ("first", "idle") if self.chance(0.6)}
            policy["timeout"] = Timeout(GRID * 6, **bounds)
        stop = self.random.randint(1, 5) if self.chance(0.6) else None
        acts = [self.act() for _ in range(number)]
        return Items(self.id(), waits, acts, policy, self.ticks(2), stop)

    def readers(self, depth: int) -> list[Node]:
        self.races += 1
        self.shared.append([])  # what was made outside the race may be a write
        branches = self.branches(depth, 1)
        self.shared.pop()
        self.races -= 1
        return branches

    def poll(self, depth: int) -> Poll:
        me = self.id()
        branches = self.readers(depth)
        for _ in range(self.random.randint(0, 4)):
            branches.append(Leaf(self.id(), [self.act()], {}))
        wave = self.random.choice((None, 1, 2, 3))
        return Poll(me, branches, wave, self.random.choice((None, 0.5, 0.8, 0.95)))

    def guess(self, depth: int) -> Guess:
        me = self.id()
        planner = self.node(depth)
        self.races += 1
        guesses: list[Node] = [self.leaf() for _ in range(self.random.randint(1, 3))]
        self.races -= 1
        wanted = self.random.choice((*guesses, self.leaf(), None))
        return Guess(me, planner, guesses, wanted)  # type: ignore[arg-type] # all of them leaves

    def first(self, depth: int) -> First:
        me = self.id()
        branches = self.readers(depth)
        stagger = tuple(sorted(self.ticks(4) for _ in branches)) if self.chance(0.5) else None
        return First(me, branches, stagger, self.chance(0.3))

    def tree(self, depth: int) -> Tree:
        me = self.id()
        items: list[Node] = []
        for _ in range(self.random.randint(1, 6)):
            items.append(self.leaf() if self.chance(0.8) else Node(self.id()))
        keys = self.random.randint(1, 2) if self.chance(0.3) else None
        return Tree(me, items, self.act(), self.random.randint(2, 3), keys)

    def plain(self, depth: int) -> Plain:
        return Plain(self.id(), Act(self.ticks(3), self.random.choice(ENDS)), self.chance(0.3))

    def node(self, depth: int) -> Node:
        """Draw any node; a shared one stands in another place of the same step's body too."""
        pool = self.shared[-1]
        if pool and self.chance(0.2):
            return self.random.choice(pool)
        if self.left <= 0 or depth > 4:
            return self.leaf()
        kinds = (self.leaf, lambda: self.bound(depth), lambda: self.sub(depth),
                 lambda: self.fan_out(depth), lambda: self.fan_map(depth),
                 lambda: self.first(depth), lambda: self.tree(depth), lambda: self.plain(depth),
                 lambda: self.poll(depth), self.items, lambda: self.guess(depth),
                 lambda: self.pipe(depth))  # fmt: skip
        node = self.random.choices(kinds, (6, 3, 3, 4, 3, 3, 2, 1, 2, 3, 2, 2))[0]()
        if not isinstance(node, Plain):
            pool.append(node)
        return node


def draw(seed: int, size: int) -> Program:
    """Draw the program of a seed."""
    return Draw(seed, size).program()


def nodes_of(program: Program) -> Iterator[Any]:
    """Go through everything of a program, each once."""
    seen: set[int] = set()
    stack: list[Any] = [program]
    while stack:
        it = stack.pop()
        if isinstance(it, (list, tuple)):
            stack += it
        elif isinstance(it, (Node, Program, Act)) and id(it) not in seen:
            seen.add(id(it))
            yield it
            stack += [getattr(it, each.name) for each in fields(it)]


def text_of(thing: Any, depth: int = 0, seen: set[int] | None = None) -> str:
    """Write a program with one node a line; what stands there a second time by its number only."""
    seen = set() if seen is None else seen
    if isinstance(thing, tuple):
        return " ".join(text_of(it, depth, seen) for it in thing)
    if isinstance(thing, list):
        pad = "\n" + "  " * (depth + 1)
        return f"[{''.join(pad + text_of(it, depth + 1, seen) for it in thing)}]"
    if not isinstance(thing, (Node, Program, Act)):
        return repr(thing)
    if isinstance(thing, Node) and id(thing) in seen:
        return f"again {thing.id}"
    seen.add(id(thing))
    shown = []
    for each in fields(thing):
        value = getattr(thing, each.name)
        if value != each.default and value not in ([], {}):
            shown.append(f"{each.name}={text_of(value, depth, seen)}")
    return f"{type(thing).__name__}({', '.join(shown)})"
