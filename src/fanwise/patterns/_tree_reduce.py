"""`tree_reduce`: merge many results in groups, each group as soon as its own members are there.

Problem: n results outgrow one reduction (a context window), and a barrier a level makes every
group wait for the slowest of all.
Algorithm: a tree fixed by position before anything runs: at each level ceil(m / arity) groups of
neighbours whose sizes differ by at most one; a group whose members are there starts, whatever its
level. ceil(log_arity n) levels; 1,000 items at arity 10 are 111 reductions in 3 levels.
Rejected: merging whatever is there first (fewer idle moments, but the result then depends on the
order of completion).
"""

from __future__ import annotations

from collections.abc import Iterable
from contextvars import copy_context
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast, overload

from fanwise.core import (
    LIVE,
    Call,
    CallDropped,
    Ending,
    FanIn,
    FanwiseError,
    NotEnough,
    Outcome,
    as_step,
    ask,
    excuse,
    leave,
    note,
    plain_function,
    take_position,
    waiting_call,
    whole,
)
from fanwise.patterns._branches import excused_on_error, pattern_step, planned, refuse_twice

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Hashable, Iterator, Mapping, Sequence

    from fanwise.core import Scope

T = TypeVar("T")
K = TypeVar("K")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Reduced(Generic[T_co]):
    """A reduction. `missing` names the items, and the reductions, that are not in `value`."""

    value: T_co
    complete: bool
    missing: tuple[str, ...]
    depth: int


class Node:
    """A place in the tree: an item, or a group that becomes a reduction when all have reported."""

    __slots__ = ("always", "call", "error", "members", "name", "open", "position", "status",
                 "tree", "up", "value")  # fmt: skip

    def __init__(self, tree: Tree, name: str, position: int = 0) -> None:
        """Make a place without members: an item; a group has its `position` among all groups."""
        self.tree = tree
        self.position = position
        self.name = name
        self.members: list[Node] = []
        self.open = 0
        self.up: Node | None = None
        self.status = "open"
        self.value: Any = None
        self.error: BaseException | None = None
        self.call: Call[Any] | None = None
        self.always = False  # the root above a single item: even that gets its reduction

    @property
    def owner(self) -> Call[Any] | None:
        """The pattern's call: it waits."""
        return self.tree.owner

    def want(self, call: Call[Any]) -> None:
        """Ask for the call whose value stands here."""
        self.call = call
        if call.status == "new":
            call.fan_in = self.tree.owner.id
        try:
            if ask(call, self):
                self.call_ended(call)
        except FanwiseError as error:
            self.end("gap", error=error)

    def call_ended(self, call: Call[Any]) -> None:
        """Take the value, or the gap, of this place."""
        if call.status == "ok":
            self.end("ok", call.result)
        else:
            self.end("gap", error=call.error or CallDropped(f"{self.name} was cancelled"))

    def end(self, status: str, value: Any = None, error: BaseException | None = None) -> None:  # noqa: ANN401
        """Keep what became of this place, and report it."""
        self.status = status
        self.value = value
        self.error = error
        self.report()

    def report(self) -> None:
        """Report upwards; the last member of a group starts its reduction."""
        if self.up is None:
            self.tree.root_ended()
            return
        self.up.open -= 1
        if self.up.open == 0:
            self.up.reduce()

    def reduce(self) -> None:
        """Reduce the members that are there; a lone one goes up unchanged."""
        there = [member for member in self.members if member.status == "ok"]
        if not there:
            self.end("gap", error=self.members[0].error)
        elif len(self.members) == 1 and not self.always:
            self.end("ok", there[0].value)
        elif not self.tree.closed:
            # A copy: a reduction that ends at once starts the next one from within.
            self.tree.context.copy().run(self._start, [member.value for member in there])

    def _start(self, values: list[Any]) -> None:
        try:
            take_position(self.tree.scope, self.position)
            call = self.tree.step(values)
        except Exception as error:  # noqa: BLE001 - a key, a refused write: this place's failure
            self.end("gap", error=error)
        else:
            self.want(call)

    def gaps(self) -> list[str]:
        """Name what is missing below, and this reduction itself where it failed."""
        found = [name for member in self.members for name in member.gaps()]
        if self.status != "ok" and (not self.members or self.call is not None):
            found.append(self.name)
        return found

    def __repr__(self) -> str:
        """Name the place."""
        return f"<Node {self.name} {self.status}>"


class Tree:
    """The nodes of one reduction, or of one a key."""

    __slots__ = ("arity", "closed", "context", "depth", "future", "groups", "items", "loop", "open",
                 "owner", "roots", "scope", "step")  # fmt: skip

    def __init__(self, owner: Call[Any], step: Callable[..., Call[Any]], arity: int) -> None:
        """Reduce for the pattern call `owner`."""
        self.owner = owner
        self.step = step
        self.arity = arity
        self.closed = False
        self.depth = 0
        self.groups = 0
        self.scope: Scope = owner.scope  # type: ignore[assignment] # of its body, which this is
        self.open = 0  # places that still have to report to nobody above them
        self.items: list[Node] = []
        self.roots: list[Node] = []
        self.context = copy_context()
        self.loop = owner.run.runtime.loop
        self.future: asyncio.Future[None] = self.loop.create_future()

    def grow(self, items: Sequence[Node], prefix: str) -> Node:
        """Build the groups above `items`, and give the root."""
        level = list(items)
        depth = 0
        while len(level) > 1 or depth == 0:
            depth += 1
            level = [
                self._group(members, f"{prefix}{depth}.{number}")
                for number, members in enumerate(balanced(level, self.arity), 1)
            ]
        level[0].always = len(items) == 1
        self.depth = max(self.depth, depth)
        self.roots.append(level[0])
        return level[0]

    def _group(self, members: list[Node], name: str) -> Node:
        node = Node(self, name, self.groups)
        self.groups += 1
        node.members = members
        node.open = len(members)
        for member in members:
            member.up = node
        return node

    def root_ended(self) -> None:
        """Wake the pattern's task when the last root has ended."""
        self.open -= 1
        if self.open == 0 and not self.future.done():
            self.future.set_result(None)

    def nodes(self) -> Iterator[Node]:
        """Give every node, members before groups."""
        stack = [*self.roots, *self.items]
        while stack:
            node = stack.pop()
            yield node
            stack += node.members

    async def let_go(self) -> None:
        """Leave what still runs, and await it."""
        self.closed = True
        ending = Ending()
        for node in set(self.nodes()):
            call = node.call
            if call is not None and call.status in LIVE and leave(call, node):
                ending.add(call)
            elif call is None and node in self.items and isinstance(node.value, Call):
                excuse(node.value)
        try:
            if ending.open:
                await ending.wait()
        finally:
            self._cut()

    def _cut(self) -> None:
        """Let go of the nodes, which refer to each other."""
        for node in set(self.nodes()):
            node.members = []
            node.up = None
        self.roots.clear()
        self.items.clear()


def balanced(members: Sequence[Node], arity: int) -> Iterator[list[Node]]:
    """Cut neighbours into ceil(n / arity) groups whose sizes differ by at most one."""
    groups = ceil(len(members) / arity)
    for number in range(groups):
        start = len(members) * number // groups
        yield list(members[start : len(members) * (number + 1) // groups])


async def _tree_reduce(
    step: Callable[..., Call[Any]],
    items: list[Any],
    key: Callable[[Any], Hashable] | None,
    schedule: Mapping[str, Any],
) -> Any:  # noqa: ANN401 - a Reduced, or a dict of them
    call = waiting_call()
    assert call is not None  # noqa: S101 - the body of a pattern's call
    with excused_on_error([item for item in items if isinstance(item, Call)]):
        arity = planned(call, schedule)["arity"]
        check_arity(arity)
    tree = Tree(call, step, arity)
    tree.items = [Node(tree, _name(item, index)) for index, item in enumerate(items)]
    try:
        return await (_one(tree, items) if key is None else _by_key(tree, items, key))
    finally:
        await tree.let_go()


TREE_REDUCE = pattern_step(_tree_reduce, "tree_reduce")


async def _one(tree: Tree, items: list[Any]) -> Reduced[Any]:
    """Grow the whole tree first, then let the items report."""
    root = tree.grow(tree.items, f"{_step_name(tree)} ")
    tree.open = 1
    _fill(tree, items)
    await tree.future
    return _result(tree, root)


async def _by_key(
    tree: Tree, items: list[Any], key: Callable[[Any], Hashable]
) -> dict[Any, Reduced[Any]]:
    """Wait for all items, whose keys nobody knows before, then grow a tree for each key."""
    tree.open = len(items)
    _fill(tree, items)
    if items:
        await tree.future
    groups: dict[Any, list[Node]] = {}
    for node in tree.items:
        if node.status == "ok":
            groups.setdefault(key(node.value), []).append(node)
    lost = tuple(node.name for node in tree.items if node.status != "ok")
    tree.future = tree.loop.create_future()
    tree.open = len(groups)
    roots = {k: tree.grow(nodes, f"{_step_name(tree)} {k} ") for k, nodes in groups.items()}
    for nodes in groups.values():
        for node in nodes:
            node.report()
    if groups:
        await tree.future
    # A lost item might have belonged to any key: none of them is complete.
    found = {k: _reduced(tree, root, lost) for k, root in roots.items() if root.status == "ok"}
    failed = [k for k in roots if k not in found]
    if failed:
        raise _nothing_under(tree, failed, roots, found) from roots[failed[0]].error
    return found


def _fill(tree: Tree, items: list[Any]) -> None:
    for node, item in zip(tree.items, items, strict=True):
        if isinstance(item, Call):
            node.want(item)
        else:
            node.end("ok", item)


def _result(tree: Tree, root: Node) -> Reduced[Any]:
    if root.status != "ok":
        names = ", ".join(root.gaps()[:5])
        msg = f"{tree.owner.name}: nothing is left of {len(tree.items)} items; missing: {names}"
        raise NotEnough(msg, FanIn(outcomes=_outcomes(tree))) from root.error
    return _reduced(tree, root, ())


def _reduced(tree: Tree, root: Node, lost: tuple[str, ...]) -> Reduced[Any]:
    missing = (*lost, *root.gaps())
    note(tree.owner, gaps=len(missing), depth=tree.depth)
    return Reduced(root.value, not missing, missing, tree.depth)


def _nothing_under(
    tree: Tree, failed: list[Any], roots: dict[Any, Node], found: dict[Any, Reduced[Any]]
) -> NotEnough:
    """Make the error of keys with nothing left; the reductions of the others are in `.found`."""
    outcomes = []
    for index, (k, root) in enumerate(roots.items()):
        outcome: Outcome[Any] = Outcome(None, "ok" if k in found else "failed", str(k), index)
        outcome.result, outcome.error = root.value, root.error
        outcomes.append(outcome)
    names = ", ".join(map(repr, failed[:5]))
    return NotEnough(f"{tree.owner.name}: nothing is left under {names}", FanIn(outcomes=outcomes))


def _outcomes(tree: Tree) -> list[Outcome[Any]]:
    outcomes = []
    for index, node in enumerate(tree.items):
        there = node.status == "ok"
        outcome: Outcome[Any] = Outcome(node.call, "failed", node.name, index)
        if there or node.call is not None:
            outcome.status = "ok" if there else node.call.status  # type: ignore[union-attr,assignment]
        outcome.result, outcome.error = node.value, node.error
        outcomes.append(outcome)
    return outcomes


def _step_name(tree: Tree) -> str:
    return str(getattr(tree.step, "name", "reduce"))


def check_arity(arity: int) -> None:
    """Raise where groups could not shrink."""
    whole("arity", arity, 2)


def _name(item: Any, index: int) -> str:  # noqa: ANN401 - a call or a value
    return f"{item.name} {index + 1}" if isinstance(item, Call) else f"item {index + 1}"


@overload
def tree_reduce(
    step: Callable[[list[T]], Awaitable[T]], items: Iterable[T | Call[T]], *, arity: int
) -> Call[Reduced[T]]: ...
@overload
def tree_reduce(
    step: Callable[[list[T]], Awaitable[T]],
    items: Iterable[T | Call[T]],
    *,
    arity: int,
    key: Callable[[T], K],
) -> Call[dict[K, Reduced[T]]]: ...
@overload
def tree_reduce(
    step: Callable[[list[T]], T], items: Iterable[T | Call[T]], *, arity: int
) -> Call[Reduced[T]]: ...
@overload
def tree_reduce(
    step: Callable[[list[T]], T], items: Iterable[T | Call[T]], *, arity: int,
    key: Callable[[T], K],
) -> Call[dict[K, Reduced[T]]]: ...  # fmt: skip
def tree_reduce(
    step: Callable[[list[Any]], Any],
    items: Iterable[Any],
    *,
    arity: int,
    key: Callable[[Any], Any] | None = None,
) -> Call[Any]:
    """Merge values, or the values of calls, in groups of at most `arity` (from 2), to one.

    `step` takes one list and gives one value. Groups are fixed by position, balanced, and start
    when their own members are there. One item still gets its reduction; a lone member goes up
    unchanged; a failed item or reduction is left out and named in `.missing`. With `key`, of an
    item's value, the result is a dict from key to `Reduced`. Raises `NotEnough` where nothing is
    left. Cancelled, it leaves its calls and awaits those that this cancels.
    """
    if not isinstance(items, Iterable):
        msg = f"items is an iterable of values or calls, got {items!r}"
        raise TypeError(msg)
    members = list(items)
    calls = [item for item in members if isinstance(item, Call)]
    with excused_on_error(calls):
        check_arity(arity)
        refuse_twice(calls, "tree_reduce")
        plain_function("key", key)
    if not members and key is None:
        msg = "items is empty: there is nothing to reduce"
        raise ValueError(msg)
    reduce = cast("Callable[..., Call[Any]]", as_step(step))
    return Call(TREE_REDUCE, (reduce, members, key, {"arity": arity}), {})
