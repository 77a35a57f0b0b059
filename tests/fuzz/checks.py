"""What must hold of every value, fan-in and record, whatever the program."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from fanwise.core import CallRow, FanIn
from fanwise.core._timers import TimerQueue
from fanwise.patterns import Reduced, Vote
from tests.fuzz.programs import FanMap, FanOut, First, Guess, Items, Pipe, Piped, Poll, Tree

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fanwise.core import Run, RunRecord, Runtime
    from tests.fuzz.programs import Node
    from tests.fuzz.world import World

BROKEN_SOURCES = ("raises", "async raises", "async stray", "breaks when closed", "broken key")
STATUSES = {"ok", "failed", "timed_out", "cancelled", "skipped"}


def fits(world: World, node: Node, value: Any) -> bool:
    """Say whether `value` is one that this node, and no other, can give."""
    node = giver(node)
    if isinstance(node, (FanOut, FanMap)):
        if not isinstance(value, FanIn):
            return False
        check_fan_in(world, node, value, raised=False)
        return True
    if isinstance(node, First):
        return any(fits_quietly(world, it, value) for it in node.branches if of_kind(it, value))
    if isinstance(node, Poll):
        if isinstance(value, Vote):
            check_vote(world, node, value)
        return isinstance(value, Vote)
    if isinstance(node, (Tree, Items)):
        fit = tree_fits if isinstance(node, Tree) else items_fit
        return of_kind(node, value) and fit(node, value)  # type: ignore[arg-type]
    pieces = value if isinstance(node, Piped) and node.many else [value]
    return isinstance(pieces, list) and all(piece == ("v", node.id) for piece in pieces)


def giver(node: Node) -> Node:
    """Give the node whose value this one gives."""
    while isinstance(node, Guess):
        node = node.wanted or node.planner
    return node


def fits_quietly(world: World, node: Node, value: Any) -> bool:
    """Try one of several nodes that may have given the value: what is wrong then is no problem."""
    before = len(world.problems)
    fitted = fits(world, node, value) and len(world.problems) == before
    del world.problems[before:]
    return fitted


def of_kind(node: Node, value: Any) -> bool:
    """Say whether a node of this kind gives such values."""
    node = giver(node)
    if isinstance(node, First):
        return any(of_kind(it, value) for it in node.branches)
    if isinstance(node, Poll):
        return isinstance(value, Vote) and len(value.found) == len(node.branches)
    if isinstance(node, Tree):
        return isinstance(value, Reduced if node.keys is None else dict)
    if isinstance(node, (FanOut, FanMap)):
        items = [it.id for it in node.items] if isinstance(node, FanMap) else [None]
        return isinstance(value, FanIn) and all(o.item in items for o in value)
    return isinstance(value, list if isinstance(node, Items) else tuple)


def items_fit(node: Items, value: list[Any]) -> bool:
    """A whole stream has the items of one attempt, all of them, in order."""
    attempt = value[0][2] if value else 1
    waits = node.waits[min(attempt, len(node.waits)) - 1]
    whole = [("i", node.id, attempt, index) for index in range(len(waits))]
    return value == whole if value else any(not waits for waits in node.waits)


def ids_of(value: Any) -> tuple[int, ...]:
    """Give the numbers of the nodes whose values were merged."""
    kind, what = value
    return what if kind == "r" else (what,)


def tree_fits(node: Tree, value: Any) -> bool:
    """Every item stands in its group, in order, or is missing."""
    numbers = [it.id for it in node.items]
    if node.keys is None:
        parts = {0: value}
        expected = {0: numbers}
    else:
        parts = value
        expected = {key: [n for n in numbers if n % (node.keys or 1) == key] for key in value}
    for key, part in parts.items():
        found = list(ids_of(part.value))
        if found != [n for n in expected[key] if n in found]:
            return False
        if part.complete != (not part.missing) or (part.complete and found != expected[key]):
            return False
    return True


def needed(node: FanOut | FanMap, total: int) -> int:
    need = node.schedule.get("need", "all")
    if need == "all" and "enough" in node.schedule:
        return int(node.schedule["enough"])
    if need == "all":
        return total
    return (total + 1) // 2 if need == "50%" else int(need)


def check_fan_in(world: World, node: FanOut | FanMap, found: FanIn[Any], *, raised: bool) -> None:
    """One outcome a branch, in input order, with its own value, and the right verdict."""
    where = f"fan-in {node.id}"
    outcomes = list(found.outcomes)
    given = node.branches if isinstance(node, FanOut) else node.items
    indices = [it.index for it in outcomes]
    if isinstance(node, FanOut) and indices != list(range(len(given))):
        world.wrong(f"{where}: {len(given)} branches have the outcomes {indices}")
        return
    if isinstance(node, FanMap) and node.stop is None and indices != list(range(len(indices))):
        world.wrong(f"{where}: items read have the outcomes {indices}")
        return
    for outcome in outcomes:
        check_outcome(world, where, given[outcome.index], outcome)
    good = [it for it in outcomes if it.status == "ok"]
    if len({it.name for it in outcomes}) == len(outcomes) and len(found.ok) != len(good):
        world.wrong(f"{where}: ok has {len(found.ok)} of {len(good)}")
    cut = found._landed is not None and found._landed.cut  # input was left unread
    if found.values() != [it.value for it in good] or found.complete != (
        len(good) == len(outcomes) and not cut
    ):
        world.wrong(f"{where}: values() and outcomes differ: {found}")
    if isinstance(node, FanMap) and node.stop is not None:
        return  # a stream's outcomes went to whoever took them
    sized = isinstance(node, FanOut) or node.source in ("list", "broken key")
    need = needed(node, len(given) if sized else len(outcomes))
    broken = isinstance(node, FanMap) and node.source in BROKEN_SOURCES
    broken = broken or (isinstance(node, Pipe) and any(it.short for it in node.parts))
    share = isinstance(node.schedule.get("need", "all"), str)
    unread = cut and not sized and share and len(good) != node.schedule.get("enough")
    if unread and need > 0 and raised:
        return  # a share of an input that nobody has read to its end
    if raised == (len(good) >= need) and not (raised and broken):
        world.wrong(f"{where}: need={need}, {len(good)} succeeded, raised={raised}: {found}")


def ballot_of(value: Any) -> str:
    """Say as what a vote counts a value."""
    if not isinstance(value, tuple):
        return type(value).__name__
    kind, what = value
    return kind if kind == "r" else ("even", "odd")[what % 2]


def check_vote(world: World, node: Poll, found: Vote[Any]) -> None:
    """Every branch has one outcome, every success one vote, and the leader is the answer."""
    where = f"vote {node.id}"
    outcomes = check_polled(world, node, found.found)
    good = [it.value for it in outcomes if it.status == "ok"]
    counts = Counter(map(ballot_of, good))
    most = max(counts.values(), default=0)
    leaders = [it for it in counts if counts[it] == most]
    if found.counts != counts or found.tied != (len(leaders) > 1):
        world.wrong(f"{where}: {found!r} and {dict(counts)}")
    elif not any(found.answer is it for it in good) or ballot_of(found.answer) != next(
        ballot_of(it) for it in good if ballot_of(it) in leaders
    ):
        world.wrong(f"{where}: {found.answer!r} is not the first of {leaders}")
    left = sum(it.status == "skipped" for it in outcomes)
    if found.asked != len(outcomes) - left or (node.stop_at is None and found.stopped_early):
        world.wrong(f"{where}: {found!r}, {left} were never started")


def check_polled(world: World, node: Poll, found: FanIn[Any]) -> list[Any]:
    """One outcome a branch, in the order given, with its own value."""
    outcomes = list(found.outcomes)
    if [it.index for it in outcomes] != list(range(len(node.branches))):
        world.wrong(f"vote {node.id}: {len(node.branches)} branches have {outcomes}")
        return []
    for branch, outcome in zip(node.branches, outcomes, strict=True):
        check_outcome(world, f"vote {node.id}", branch, outcome)
    return outcomes


def check_nobody(world: World, node: Poll, found: FanIn[Any]) -> None:
    """A vote fails only where nobody answered."""
    if any(it.status == "ok" for it in check_polled(world, node, found)):
        world.wrong(f"vote {node.id}: there were votes, and yet it failed: {found}")


def check_outcome(world: World, where: str, node: Node, outcome: Any) -> None:
    if outcome.status not in STATUSES:
        world.wrong(f"{where}: status {outcome.status!r}")
    elif outcome.status == "ok":
        if not fits(world, node, outcome.value):
            world.wrong(f"{where}: {outcome.value!r} as the value of {node.id}")
    elif not isinstance(outcome.error, BaseException):
        world.wrong(f"{where}: a gap without a cause: {outcome!r}")
    if outcome.status == "skipped" and outcome.attempts:
        world.wrong(f"{where}: skipped after {outcome.attempts} attempts")
    if outcome.status in ("timed_out", "cancelled") and outcome.started is None:
        world.wrong(f"{where}: {outcome.status} and never started")


def check_runtime(world: World, runtime: Runtime) -> None:
    """Nothing is held, nothing lives, everything is in the record."""
    check_rest(world, runtime)
    for run in runtime.runs:
        check_run(world, run)


def check_rest(world: World, runtime: Runtime) -> None:
    """Nothing is held: asked before the runtime is left, which would clear some of it, and after."""
    for held in held_by(runtime):
        world.wrong(held)


def held_by(runtime: Runtime) -> Iterator[str]:
    """Name everything that a runtime at rest must not have."""
    if runtime.running:
        yield f"{runtime.running} calls are counted as running"
    if runtime.live:
        yield f"runs are live: {list(runtime.live)}"
    for width in runtime.widths.values():
        if width.used or width.waiting:
            yield f"slots are lost: {width!r}"
    if runtime.reading:
        yield f"streams are being read: {runtime.reading}"
    yield from (f"{it} still wait for {name}" for name, it in runtime.limit_waits.items() if it)
    yield from (f"the probe is lost: {it!r}" for it in runtime.breakers.values() if it.probing)
    yield from (f"timers are armed: {it!r}" for it in timers_of(runtime) if it.armed)


def timers_of(runtime: Runtime) -> list[TimerQueue]:
    """Give every queue of timers that the runtime has, under whatever name."""
    found: list[TimerQueue] = []
    for value in vars(runtime).values():
        parts = value.values() if isinstance(value, dict) else (value,)
        found += [it for it in parts if isinstance(it, TimerQueue)]
    return found


def check_run(world: World, run: Run) -> None:
    if run.root.live:
        world.wrong(f"calls live after the run: {list(run.root.live)}")
    record = run.record()
    check_rows(world, run, record)
    for call, times in world.bodies.items():
        rows = [row for row in record.calls if row.call == call]
        if len(rows) != 1:
            world.wrong(f"call {call} has {len(rows)} rows")
        elif rows[0].attempts < times:
            world.wrong(f"call {call} says {rows[0].attempts} attempts, its body ran {times} times")


def check_rows(world: World, run: Run, record: RunRecord) -> None:
    rows = {row.call: row for row in record.calls}
    numbers = sorted(row.call for row in record.calls)
    if numbers != list(range(run.next_id + 1)):
        world.wrong(f"{run.next_id + 1} calls have the rows {numbers}")
    for row in record.calls:
        check_row(world, row, rows)
    for attempt in record.attempts:
        if attempt.call not in rows or attempt.attempt > rows[attempt.call].attempts:
            world.wrong(f"an attempt of no call: {attempt}")


def check_row(world: World, row: CallRow, rows: dict[int, CallRow]) -> None:
    for name in ("parent", "fan_in"):
        number = getattr(row, name)
        if number is not None and number not in rows:
            world.wrong(f"row {row.call}: {name} {number} has no row")
    if any(edge not in rows for edge in row.edges):
        world.wrong(f"row {row.call}: edges {row.edges}")
    if row.status not in STATUSES or row.start > row.end:
        world.wrong(f"row {row}")
    parent = rows.get(row.parent) if row.parent is not None else None
    if parent is not None and not parent.start <= row.start <= row.end <= parent.end:
        world.wrong(f"row {row.call} ({row.step}) does not lie inside its parent {parent.call}")
    for edge in row.edges:
        stream = edge in rows and "first_item" in rows[edge].facts  # it gives before it ends
        if row.status == "ok" and edge in rows and not stream and rows[edge].end > row.end:
            world.wrong(f"row {row.call} ended before its input {edge}")
