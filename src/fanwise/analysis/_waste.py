"""Waste: what a run spent on attempts and calls that gave it no value (law 13)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from fanwise.analysis._decisions import GOOD
from fanwise.analysis._graph import Graph
from fanwise.analysis._money import Money, added, amount
from fanwise.analysis._parts import named, time_text
from fanwise.analysis._spans import running

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from decimal import Decimal

    from fanwise.core import CallRow, RunRecord

NO_USAGE: Mapping[str, int] = MappingProxyType({})


class Loss(NamedTuple):
    """Something that gave no value: a call, or one `attempt` of a call that has its value.

    `why` is `failed`, `timed_out`, `cancelled`, `lost race`, `not accepted` (its value, by the
    race), `wrong guess` (and what it called), `attempt failed`, `attempt overtaken` (the other one
    answered first). `microseconds` are 0 for a call that only had others inside, which are counted
    themselves. `facts` are those of the row that says it.
    """

    call: int
    name: str
    attempt: int | None
    why: str
    microseconds: int
    usage: Mapping[str, int] = NO_USAGE
    facts: Mapping[str, object] = NO_USAGE

    @property
    def cost(self) -> Decimal | None:
        """US dollars, or None where the record has none."""
        return amount(self.facts.get("cost"))

    @property
    def estimated(self) -> bool:
        """Whether counts are estimates."""
        return bool(self.facts.get("estimated"))


@dataclass(frozen=True, slots=True)
class Waste:
    """All losses of a run, those that took longest first, and their sums."""

    losses: tuple[Loss, ...]

    @property
    def microseconds(self) -> int:
        """Time of innermost calls, added up."""
        return sum(loss.microseconds for loss in self.losses)

    @property
    def usage(self) -> dict[str, int]:
        """Counts such as tokens, added up."""
        total: Counter[str] = Counter()
        for loss in self.losses:
            total.update(loss.usage)
        return dict(total)

    @property
    def cost(self) -> Decimal | None:
        """US dollars, or None where the record has no cost."""
        return self.money.cost

    @property
    def money(self) -> Money:
        """US dollars, and what of them is estimated or not known."""
        return added(loss.facts for loss in self.losses)

    @property
    def reasons(self) -> dict[str, tuple[int, int]]:
        """Count and time of the losses by reason, the most time first."""
        found: dict[str, tuple[int, int]] = {}
        for loss in self.losses:
            count, time = found.get(loss.why, (0, 0))
            found[loss.why] = count + 1, time + loss.microseconds
        return dict(sorted(found.items(), key=lambda each: -each[1][1]))

    def __str__(self) -> str:
        """Tell it in a line, empty where nothing was wasted."""
        reasons = self.reasons.items()
        return ", ".join(f"{count:,} x {why} {time_text(time)}" for why, (count, time) in reasons)


def waste(record: RunRecord) -> Waste:
    """Give what a run spent without value, from its record."""
    return waste_of(Graph(record))


def waste_of(graph: Graph) -> Waste:
    """Give the same from a graph that is there."""
    wrong = graph.below_wrong()
    odd = [
        row
        for row in graph.ends
        if row.status not in GOOD or row.call in graph.attempts or row.call in wrong
    ]
    rejected = _rejected(graph)
    if not odd and not rejected:
        return Waste(())
    numbers = graph.numbers
    around = graph.around
    found = [
        loss
        for row in (*odd, *rejected)
        for loss in _losses(
            graph, row, named(row, numbers), leaf=row.call not in around, wrong=row.call in wrong
        )
    ]
    return Waste(tuple(sorted(found, key=lambda loss: (-loss.microseconds, loss.call))))


def _losses(graph: Graph, row: CallRow, name: str, *, leaf: bool, wrong: bool) -> Iterator[Loss]:
    if row.status in GOOD and row.call in graph.attempts and not wrong:
        for each in graph.attempts[row.call]:
            if each.status != "ok" and (leaf or each.usage):
                why = "attempt overtaken" if each.status == "cancelled" else "attempt failed"
                time = each.end - each.start if leaf else 0
                yield Loss(row.call, name, each.attempt, why, time, each.usage, each.facts)
        return
    time = running(graph, row) if leaf and row.pattern is None else 0
    if time or row.usage or "cost" in row.facts:
        why = "wrong guess" if wrong else _why(graph, row)
        yield Loss(row.call, name, None, why, time, row.usage, row.facts)


def _why(graph: Graph, row: CallRow) -> str:
    around = None if row.fan_in is None else graph.rows.get(row.fan_in)
    race = around is not None and "winner" in around.facts
    if row.status in GOOD:
        return "not accepted"
    return "lost race" if race and row.status == "cancelled" else row.status


def _rejected(graph: Graph) -> list[CallRow]:
    """Give the values that a race did not accept: all but the last, which won."""
    found: list[CallRow] = []
    races: Iterable[CallRow] = (row for row in graph.ends if "winner" in row.facts)
    for race in races:
        good = [e for e in graph.awaited.get(race.call, ()) if e.status == "ok"]
        found += [e for e in good if good and e.end < good[-1].end and e.call not in graph.attempts]
    return found
