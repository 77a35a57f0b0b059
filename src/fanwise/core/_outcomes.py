"""`Outcome` and `FanIn`: what became of branches, in the order in which they were given."""

from __future__ import annotations

from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, overload

from fanwise.core._record import ATTEMPTS, ENDED, STARTED
from fanwise.core._watchers import LIVE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from decimal import Decimal

    from fanwise.core._call import Call

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

EMPTY: Mapping[Any, Any] = MappingProxyType({})

Status = Literal["ok", "failed", "timed_out", "cancelled", "skipped"]


class Outcome(Generic[T_co]):
    """What became of one branch.

    `status` is "ok", "failed", "timed_out", "cancelled" or "skipped" (never started). `value` of a
    gap raises its `error`. `late` is a value that came after the branch had been given up.
    `started` and `ended` are seconds on the loop's clock; `attempts` counts hedges too.
    """

    __slots__ = ("ambiguous", "attempts", "bill", "ended", "error", "index", "item", "late", "name",
                 "result", "started", "status", "usage")  # fmt: skip

    name: str
    index: int
    item: object
    status: Status
    error: BaseException | None
    ambiguous: bool
    late: object
    attempts: int
    started: float | None
    ended: float | None
    usage: Mapping[str, int]
    bill: Callable[[], Decimal | None] | None

    def __init__(self, call: Call[T_co] | None, status: Status, name: str, index: int) -> None:
        """Freeze what is to be known of `call` now (`None`: an item that never became a call)."""
        self.name = name
        self.index = index
        self.status = status
        self.item = self.error = self.late = self.started = self.ended = None
        self.usage = EMPTY
        self.ambiguous = False
        self.result: Any = None
        self.attempts = 0
        self.bill = None
        if call is None or call.id is None:
            return
        if status == "ok":
            self.result = call.result
        if call.attempts or status == "ok":  # "ok" without an attempt: taken from a journal
            self.attempts = call.attempts
            self.started = call.started
            self.ended = None if call.status in LIVE else call.ended
        facts = call.facts
        if facts is not None:
            self.ambiguous = "ambiguous" in facts
            self.late = facts.get("late")
            self.usage = dict(facts.get("usage", EMPTY))
            if "bill" in facts:
                self.bill = bill_of(call, facts)

    @property
    def value(self) -> T_co:
        """The branch's value; a gap raises its error."""
        if self.status == "ok":
            return self.result  # type: ignore[no-any-return]
        error = self.error
        assert error is not None  # noqa: S101 - every gap has a cause
        raise error

    @property
    def cost(self) -> Decimal | None:
        """US dollars, as far as prices are known; `None` where none is, or nothing was used.

        The first that is asked for loads the known prices: 0.3 s, unless that was done.
        """
        return None if self.bill is None else self.bill()

    def __repr__(self) -> str:
        """Tell the branch's story in a line."""
        if self.status == "ok":
            return f"<{self.name}: ok {self.result!r}>"
        return f"<{self.name}: {self.status}{_because(self)}>"


def bill_of(call: Call[Any], facts: Mapping[str, Any]) -> Callable[[], Decimal | None]:
    """Give what works out the cost of a call's answers so far."""
    run = call.run
    told = tuple(facts["bill"]), facts.get("model"), run.unix(run.time())
    return partial(run.runtime.bills.total, *told)


class Landed:
    """Items that ended, by position: plain successes in columns, an `Outcome` for the rest.

    Ten thousand successes leave nothing behind that the collector has to visit; their outcomes
    are made when somebody looks at them.
    """

    __slots__ = ("cut", "given", "kept", "places", "prefix", "rows", "values")

    cut: bool
    places: tuple[int, int, int]
    prefix: str

    def __init__(
        self, prefix: str, places: tuple[int, int, int] = (STARTED, ENDED, ATTEMPTS)
    ) -> None:
        """Name the items `prefix` and their position.

        `places` say where in an item's row its start, its end and its number of attempts stand.
        """
        self.prefix = prefix
        self.places = places
        self.cut = False  # whether input was left that nobody read
        self.values: dict[int, Any] = {}
        self.given: dict[int, object] = {}
        self.rows: dict[int, tuple[Any, ...]] = {}
        self.kept: dict[int, Outcome[Any]] = {}

    def name(self, index: int) -> str:
        """Give the name of an item."""
        return f"{self.prefix} {index + 1}"

    def land(self, index: int, call: Call[Any]) -> None:
        """Take a success that has nothing else to say; its item is among the `given`."""
        self.values[index] = call.result
        self.rows[index] = call.row

    def keep(self, outcome: Outcome[Any]) -> None:
        """Take anything else."""
        self.kept[outcome.index] = outcome
        if outcome.status == "ok":
            self.values[outcome.index] = outcome.result

    @property
    def gaps(self) -> int:
        """How many did not succeed."""
        return sum(outcome.status != "ok" for outcome in self.kept.values())

    def successes(self) -> list[Any]:
        """Give the values of the successes, in the order of the input."""
        return [self.values[index] for index in sorted(self.values)]

    def outcomes(self) -> list[Outcome[Any]]:
        """Give the outcomes, in the order of the input."""
        return [self._outcome(index) for index in sorted({*self.values, *self.kept})]

    def _outcome(self, index: int) -> Outcome[Any]:
        if index in self.kept:
            return self.kept[index]
        outcome: Outcome[Any] = Outcome(None, "ok", self.name(index), index)
        outcome.result = self.values[index]
        outcome.item = self.given[index]
        row = self.rows[index]
        outcome.started, outcome.ended, outcome.attempts = [row[place] for place in self.places]
        return outcome

    def __len__(self) -> int:
        """Count the items."""
        return len(self.rows) + len(self.kept)

    def __repr__(self) -> str:
        """Count."""
        return f"<Landed {len(self)}, {self.gaps} gaps>"


class FanIn(Generic[T_co]):
    """What became of the branches of a fan-out, in the order given, never that of arrival."""

    __slots__ = ("_by_name", "_calls", "_gaps", "_landed", "_names", "_outcomes")

    def __init__(
        self,
        calls: Sequence[Call[T_co]] = (),
        names: Sequence[str | None] = (),
        gaps: Mapping[int, Outcome[T_co]] = EMPTY,
        outcomes: Sequence[Outcome[T_co]] | None = None,
    ) -> None:
        """Gather ended calls, but for the frozen `gaps`; or finished outcomes."""
        self._calls = calls
        self._names = names
        self._gaps = gaps
        self._outcomes = outcomes
        self._landed: Landed | None = None
        self._by_name: dict[str, Outcome[T_co]] | None = None

    @classmethod
    def of(cls, landed: Landed) -> FanIn[T_co]:
        """Give the fan-in of items, whose outcomes are made when somebody asks."""
        found = cls()
        found._landed = landed
        return found

    @property
    def outcomes(self) -> Sequence[Outcome[T_co]]:
        """The outcome of each branch, in the order given."""
        if self._outcomes is None and self._landed is not None:
            self._outcomes = self._landed.outcomes()
        if self._outcomes is None:
            names = branch_names(self._calls, self._names)
            self._outcomes = [
                self._gaps.get(index) or Outcome(call, "ok", names[index], index)
                for index, call in enumerate(self._calls)
            ]
            for index, gap in self._gaps.items():
                gap.name = names[index]
        return self._outcomes

    @overload
    def __getitem__(self, key: Call[T]) -> Outcome[T]: ...
    @overload
    def __getitem__(self, key: str) -> Outcome[T_co]: ...
    def __getitem__(self, key: Any) -> Any:
        """Give the outcome of a branch, by its call or by its name; raise `KeyError`."""
        if isinstance(key, str):
            if self._by_name is None:
                self._by_name = {outcome.name: outcome for outcome in self.outcomes}
            return self._by_name[key]
        for index, call in enumerate(self._calls):
            if call is key:
                return self.outcomes[index]
        raise KeyError(key)

    @property
    def ok(self) -> Mapping[str, T_co]:
        """The values of the branches that succeeded, by name, in order."""
        return {o.name: o.result for o in self.outcomes if o.status == "ok"}

    def values(self) -> list[T_co]:
        """Give the values of the branches that succeeded, in order."""
        if self._landed is not None:
            return self._landed.successes()
        if self._outcomes is not None:
            return [o.result for o in self._outcomes if o.status == "ok"]
        if not self._gaps:
            return [call.result for call in self._calls]
        return [call.result for i, call in enumerate(self._calls) if i not in self._gaps]

    @property
    def missing(self) -> list[str]:
        """The names of the other branches, in order."""
        return [o.name for o in self.outcomes if o.status != "ok"]

    @property
    def complete(self) -> bool:
        """Whether every branch succeeded, and no input was left unread."""
        if self._landed is not None:
            return self._landed.gaps == 0 and not self._landed.cut
        return not self._gaps and all(o.status == "ok" for o in self._outcomes or ())

    def __len__(self) -> int:
        """Count the branches."""
        if self._landed is not None:
            return len(self._landed)
        return len(self._calls if self._outcomes is None else self._outcomes)

    def __iter__(self) -> Iterator[Outcome[T_co]]:
        """Go through the outcomes, in order."""
        return iter(self.outcomes)

    def __str__(self) -> str:
        """Say how many succeeded, and the cause of each gap in a line."""
        gaps = [o for o in self.outcomes if o.status != "ok"]
        lines = [f"{len(self.outcomes) - len(gaps)} of {len(self.outcomes)} branches are there"]
        lines += [f"  {o.name}: {o.status}{_because(o)}" for o in gaps]
        return "\n".join(lines)

    def __repr__(self) -> str:
        """Count."""
        return f"<FanIn {len(self.values())} of {len(self.outcomes)} ok>"


def _because(outcome: Outcome[Any]) -> str:
    if outcome.error is None:
        return ""
    text = str(outcome.error).split("\n", 1)[0]
    kind = type(outcome.error).__name__
    late = " (its late value is kept)" if outcome.late is not None else ""
    return f": {kind}: {text}{late}" if text else f": {kind}{late}"


def branch_names(calls: Sequence[Call[Any]], given: Sequence[str | None]) -> list[str]:
    """Give each branch its name: its keyword, else `.named`, else its step, numbered from 2 on."""
    plain = [
        (given[index] if given else None) or call.label or call.plan_name
        for index, call in enumerate(calls)
    ]
    taken = set(plain)
    counts: dict[str, int] = {}
    names = []
    for name in plain:
        counts[name] = count = counts.get(name, 0) + 1
        numbered = name
        while count > 1 and numbered in taken:  # never a name that another bears by right
            numbered = f"{name} {count}"
            count += 1
        if counts[name] > 1:
            counts[name] = count - 1
            taken.add(numbered)
        names.append(numbered)
    return names
