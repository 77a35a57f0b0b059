"""What a run shows while it lives: what runs and waits for what, what failed, what was slow.

Problem: somebody wants to watch a run of any size, as a terminal does four times a second, without
a cost on every call. Method: sampling. A `Lookout` reads the rows that came since its last look,
raw, and walks the tree of live calls; a look costs time in proportion to those, and memory for the
steps and the few calls that are shown. It may look from a thread of its own: it only reads, and a
dict that changes under its copy is copied again. Rejected: a listener, which is called, with a view
made for it, at every row.
"""

from __future__ import annotations

from collections import Counter, deque
from heapq import heappush, heappushpop, nlargest, nsmallest
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from fanwise.analysis._money import NO_MONEY, Money, added

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fanwise.core import Call, Run, Scope

K = TypeVar("K")
V = TypeVar("V")
Row = tuple[Any, ...]

MOST: Final = 30
_FAILED: Final = ("failed", "timed_out")
_GOOD: Final = ("ok", "reused")
_UNSTARTED: Final = frozenset({"waiting", "starting"})
_CALL, _PARENT, _STEP = itemgetter(0), itemgetter(1), itemgetter(3)
_ERRORS: Final = 100


class Going(NamedTuple):
    """A live call under which no other one lives. Times are seconds.

    `under` names the calls in whose bodies it was made, innermost first, the main call left out.
    `waits` is "" while it runs, else what it waits for: limit, pool, backoff, cache (an equal call
    that runs), inputs, reader (of a stream), or "loop" before its first step. `detail` names the
    limit or the equal call, or counts the seconds or inputs that are left. `error` is what its
    last attempt ended with.
    """

    call: int
    name: str
    under: tuple[str, ...]
    age: float
    attempts: int
    waits: str
    detail: str
    error: str | None


class Gone(NamedTuple):
    """A call that has ended: its seconds, waits left out, and its error where it has no value."""

    call: int
    name: str
    seconds: float
    status: str
    error: str | None


class StepCount(NamedTuple):
    """The calls of one step by what became of them; `waiting` are those of a limit and the like.

    `failed` counts time-outs too; `dropped` those that were cancelled or skipped.
    """

    name: str
    done: int
    failed: int
    dropped: int
    running: int
    waiting: int


class Look(NamedTuple):
    """A run at one instant. `going` and `slowest` stand longest first, `failed` latest first.

    In `going` those that wait for a limit, a pool, inputs or the loop stand behind the others.

    `calls` and `live` count patterns too, the rest are steps; each list is cut at `most`.
    """

    seconds: float
    calls: int
    live: int
    retries: int
    hedges: int
    usage: Mapping[str, int]
    estimated: bool
    failures: int
    steps: tuple[StepCount, ...]
    going: tuple[Going, ...]
    failed: tuple[Gone, ...]
    slowest: tuple[Gone, ...]
    money: Money = NO_MONEY


class Lookout:
    """Watches one run: `look()` gives what it shows now.

    Only one thread may ask; it need not be the loop's. `most` bounds each list of a look.
    """

    def __init__(self, run: Run, most: int = MOST) -> None:
        """Watch `run` from its first row on."""
        self._run = run
        self._most = most
        self._place = (0, 0)
        self._ended: dict[str, dict[str, int]] = {}
        self._around: set[int | None] = set()  # calls of which a child has ended, not they
        self._passed_on: dict[int, set[str]] = {}  # what children of a live call ended with
        self._tried: dict[int, str] = {}  # what the last attempt of a live call ended with
        self._failed: deque[Gone] = deque(maxlen=most)
        self._slowest: list[tuple[float, int, Gone]] = []
        self._usage: Counter[str] = Counter()
        self._retries = self._hedges = self._failures = 0
        self._estimated = False
        self._money = Money()

    def __repr__(self) -> str:
        """Name the run."""
        return f"<Lookout over {self._run!r}>"

    def look(self) -> Look:
        """Read on, and give what there is to see."""
        run = self._run
        now = run.time()
        self._read_on()
        leaves, live = _leaves(run.root)
        waits = _waits(run)
        going = nsmallest(self._most, leaves, key=lambda call: _turn(call, waits))
        return Look(
            now - run.epoch, run.calls, len(live), self._retries, self._hedges,
            dict(self._usage), self._estimated, self._failures,
            self._steps(live, waits),
            tuple([self._going(call, waits, now) for call in going]),
            tuple(reversed(self._failed)),
            tuple([gone for _, _, gone in nlargest(self._most, self._slowest)]),
            self._money,
        )  # fmt: skip

    def _read_on(self) -> None:
        rows = self._run.rows
        for _ in ("sealed chunks", "the open one"):
            chunk, offset = self._place
            if chunk < rows.dropped:  # rows that only a file holds: they are not read again
                chunk, offset = rows.dropped, 0
            new, *place = rows.since(chunk, offset)
            self._place = (place[0], place[1])
            self._take(new)

    def _take(self, rows: list[Row]) -> None:
        """Add rows up: the usual ones all at once, and of the rest each by itself."""
        usual = [row for row in rows if row[-1] is row[-2] is row[4] is None and row[9] == "ok"]
        odd = [] if len(usual) == len(rows) else [row for row in rows if _is_odd(row)]
        calls = usual + [row for row in odd if row[0] != "attempt"] if odd else usual
        self._around.update(map(_PARENT, calls))
        for step, number in Counter(map(_STEP, usual)).items():
            self._count(step, "ok", number)
        for row in odd:
            (self._take_attempt if row[0] == "attempt" else self._take_odd)(row)
        self._take_slowest(calls)
        self._around.difference_update(map(_CALL, calls))
        if self._tried or self._passed_on:
            for call in map(_CALL, calls):
                self._tried.pop(call, None)
                self._passed_on.pop(call, None)

    def _count(self, step: str, status: str, number: int) -> None:
        counts = self._ended.setdefault(step, {})
        counts[status] = counts.get(status, 0) + number

    def _take_attempt(self, row: Row) -> None:
        _, call, attempt, hedge, _, _, _, error, _ = row
        self._hedges += bool(hedge)
        self._retries += attempt > 1 and not hedge
        if error is not None:
            self._tried[call] = error

    def _take_odd(self, row: Row) -> None:
        call, parent, _, step, pattern, _, _, _, _, status, _, _, error, extra = row
        self._take_extra(extra or (), row[8])
        told = self._pass_on(call, parent, error)
        if pattern is None:
            self._count(step, status, 1)
        if pattern is None and status in _FAILED and not told:
            self._failures += 1
            name = _name(step, call, extra)
            self._failed.append(Gone(call, name, _seconds(row), status, error))

    def _take_slowest(self, calls: list[Row]) -> None:
        slowest, most, around = self._slowest, self._most, self._around
        floor = slowest[0][0] if len(slowest) == most else -1.0
        slow = [
            row
            for row in calls
            if row[8] - row[7] > floor and row[4] is None and row[0] not in around
        ]
        for row in nlargest(most, slow, key=_seconds) if len(slow) > most else slow:
            call, _, _, step, _, _, _, _, _, status, _, _, error, extra = row
            gone = Gone(call, _name(step, call, extra), _seconds(row), status, error)
            entry = gone.seconds, call, gone
            if len(slowest) < most:
                heappush(slowest, entry)
            else:
                heappushpop(slowest, entry)

    def _take_extra(self, extra: Iterable[tuple[str, str, Any]], end: float) -> None:
        told: tuple[Any, ...] = ()
        model: str | None = None
        for group, name, value in extra:
            if group == "usage":
                self._usage[name] += value
            elif group == "bill":
                told = value
            elif name == "estimated":
                self._estimated = True
            elif name == "model":
                model = value
        if told:
            facts = self._run.cost(told, model, end)
            self._money = added([facts]).plus(self._money)

    def _pass_on(self, call: int, parent: int | None, error: str | None) -> bool:
        """Say whether a child ended with this error before; the caller may end with it too."""
        known = error in self._passed_on.pop(call, ())
        if parent is not None and error is not None:
            errors = self._passed_on.setdefault(parent, set())
            if len(errors) < _ERRORS:
                errors.add(error)
        return known

    def _steps(
        self, live: list[Call[Any]], waits: Mapping[Call[Any], tuple[str, str]]
    ) -> tuple[StepCount, ...]:
        there: Counter[str] = Counter()
        waiting: Counter[str] = Counter()
        for call in live:
            if call.step.pattern is None:
                there[call.step.name] += 1
                if call in waits or call.status in _UNSTARTED:
                    waiting[call.step.name] += 1
        names = dict.fromkeys([*self._ended, *there])
        return tuple([_count(n, self._ended.get(n, {}), there[n], waiting[n]) for n in names])

    def _going(
        self, call: Call[Any], waits: Mapping[Call[Any], tuple[str, str]], now: float
    ) -> Going:
        kind, detail = waits.get(call, ("", ""))
        inputs = call.inputs
        if call.status == "starting":
            kind = "loop"
        elif call.status == "waiting" and inputs is not None and not isinstance(inputs, tuple):
            kind, detail = "inputs", str(inputs.open)
        elif call.reader is not None and call.reader.full:
            kind = "reader"
        elif kind == "backoff":
            detail = f"{max(0.0, float(detail) - now):.1f}"
        number = -1 if call.id is None else call.id
        name = _live_name(call)
        error = self._tried.get(number)
        age = now - call.started
        return Going(number, name, _above(call), age, call.attempts, kind, detail, error)


def _turn(call: Call[Any], waits: Mapping[Call[Any], tuple[str, str]]) -> tuple[bool, float]:
    """Order live calls: what runs or tries again, then what was never let in, longest first."""
    outside = call.status in _UNSTARTED or waits.get(call, ("backoff",))[0] != "backoff"
    return outside, call.started


def _count(name: str, ended: Mapping[str, int], live: int, waiting: int) -> StepCount:
    done = sum(ended.get(status, 0) for status in _GOOD)
    failed = sum(ended.get(status, 0) for status in _FAILED)
    dropped = sum(ended.values()) - done - failed
    return StepCount(name, done, failed, dropped, live - waiting, waiting)


def _leaves(root: Scope) -> tuple[list[Call[Any]], list[Call[Any]]]:
    """Give the live calls under which none lives, patterns left out; and all live calls."""
    live: list[Call[Any]] = []
    leaves: list[Call[Any]] = []
    scopes = [root]
    for scope in scopes:
        for call in _copied(scope.live):
            live.append(call)
            below = call.scope
            if below is not None and below.live:
                scopes.append(below)
            elif call.step.pattern is None:
                leaves.append(call)
    return leaves, live


def _waits(run: Run) -> dict[Call[Any], tuple[str, str]]:
    """Give what live calls wait for: the kind and the name of the limit, or an instant."""
    runtime = run.runtime
    found: dict[Call[Any], tuple[str, str]] = {}
    lines = {"limit": runtime.limit_waits, "pool": runtime.pool_waits}
    for kind, waits in {**lines, "budget": runtime.budget_waits}.items():
        for name, calls in _copied(waits).items():
            found.update(dict.fromkeys(_copied(calls), (kind, name)))
    for call, until in _copied(runtime.backing_off).items():
        found[call] = ("backoff", str(until))
    for leader, flight in _copied(runtime.leading).items():
        found.update(dict.fromkeys(_copied(flight.followers), ("cache", _live_name(leader))))
    return found


def _copied(changing: dict[K, V] | None) -> dict[K, V]:
    """Copy a dict of the loop's thread, which may change meanwhile."""
    try:
        return dict(changing or {})
    except RuntimeError:  # it changed size: a look later it has settled
        return _copied(changing)


def _above(call: Call[Any]) -> tuple[str, ...]:
    """Name the calls above, innermost first, patterns and the run's main call left out."""
    names: list[str] = []
    owner = call.owner
    while (above := owner.call) is not None:
        if above.step.pattern is None and above.owner.call is not None:
            names.append(_live_name(above))
        owner = above.owner
    return tuple(names)


def _live_name(call: Call[Any]) -> str:
    return call.label or f"{call.step.name} #{call.id}"


def _is_odd(row: Row) -> bool:
    """Say whether it is an attempt, a pattern, a gap, or has something more to say."""
    return row[-1] is not None or row[-2] is not None or row[4] is not None or row[9] != "ok"


def _seconds(row: Row) -> float:
    """Give the seconds of a call without those for which it waited."""
    took: float = row[8] - row[7]
    for group, _, value in row[13] or ():
        if group == "waits":
            took -= value
    return took


def _name(step: str, call: int, extra: Iterable[tuple[str, str, Any]] | None) -> str:
    """Give the name for people: as given, or the step's with the call's number in the record."""
    for group, name, value in extra or ():
        if group == "facts" and name == "name":
            return str(value)
    return f"{step} #{call}"
