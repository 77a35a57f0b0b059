"""The critical path for people: calls folded by step, in one line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fanwise.analysis._graph import Graph
    from fanwise.core import CallRow

WORTH_NAMING: Final = 0.01  # of the whole


@dataclass(frozen=True, slots=True)
class Part:
    """Calls of one step on the critical path, at one place of the nesting, folded.

    `waited` is how much of that time they waited. `within` is the place, in the path's `parts`, of
    the part around it. `name` has the number of the branch where it is one of several.
    """

    name: str
    calls: int
    microseconds: int
    waited: int
    within: int | None

    @property
    def seconds(self) -> float:
        """Their own time in seconds, that of the calls inside them left aside."""
        return self.microseconds / 1_000_000

    def __str__(self) -> str:
        """Name and time, such as `map 17 (1.20 s)`, and whether it mostly waited."""
        several = f" x {self.calls}" if self.calls > 1 else ""
        waiting = ", waiting" if 2 * self.waited > self.microseconds else ""
        return f"{self.name}{several} ({time_text(self.microseconds)}{waiting})"


class Visit:
    """A call on the critical path, and the one inside which it was met."""

    __slots__ = ("launch", "row", "within")

    def __init__(self, row: CallRow, within: Visit | None, launch: int) -> None:
        """Meet `row` inside `within`; it began its work at `launch`."""
        self.row = row
        self.within = within
        self.launch = launch

    def __repr__(self) -> str:
        """Name the call."""
        return f"<Visit of {self.row.step} #{self.row.call}>"


class Folded:
    """The calls of one step inside the same fold."""

    __slots__ = ("began", "visits", "within")

    def __init__(self, within: Folded | None, visit: Visit) -> None:
        """Begin with `visit`, which is at least as deep as anything that the walk met before."""
        self.within = within
        self.visits = [visit]
        self.began = (visit.launch, visit.row.call)

    def add(self, visit: Visit) -> None:
        """Take another call of the step; the walk goes back in time."""
        self.visits.append(visit)
        self.began = min(self.began, (visit.launch, visit.row.call))

    def __repr__(self) -> str:
        """Count."""
        return f"<Folded {len(self.visits)} x {self.visits[0].row.step}>"


def parts_of(
    graph: Graph, visits: Iterable[Visit], times: Mapping[int, tuple[int, int]]
) -> tuple[Part, ...]:
    """Fold the calls of a path by step and surroundings, in the order in which they began.

    `visits` name a call after the one around it; `times` are a call's own, and what it waited.
    """
    numbers = graph.numbers
    order = sorted(_folds(visits), key=lambda fold: fold.began)
    places = {fold: place for place, fold in enumerate(order)}
    return tuple(
        _part(fold, numbers, times, None if fold.within is None else places[fold.within])
        for fold in order
    )


def _part(
    fold: Folded,
    numbers: Mapping[int, int],
    times: Mapping[int, tuple[int, int]],
    within: int | None,
) -> Part:
    known = [times.get(visit.row.call, (0, 0)) for visit in fold.visits]
    own, waited = (sum(column) for column in zip(*known, strict=True))
    return Part(_name(fold.visits, numbers), len(known), own, waited, within)


def _folds(visits: Iterable[Visit]) -> Iterable[Folded]:
    of: dict[Visit | None, Folded | None] = {None: None}
    folds: dict[tuple[Folded | None, str], Folded] = {}
    for visit in visits:
        around = of[visit.within]
        fold = folds.get((around, visit.row.step))
        if fold is None:
            fold = folds[around, visit.row.step] = Folded(around, visit)
        else:
            fold.add(visit)
        of[visit] = fold
    return folds.values()


def _name(visits: list[Visit], numbers: Mapping[int, int]) -> str:
    return named(visits[0].row, numbers if len(visits) == 1 else {}, label=len(visits) == 1)


def named(row: CallRow, numbers: Mapping[int, int], *, label: bool = True) -> str:
    """Name a call for people: as the user named it, or by its step or pattern, with its number."""
    given = row.facts.get("name")
    if label and given is not None:
        return str(given)
    name = row.step
    if row.pattern is not None and name.endswith(f"/{row.pattern}"):
        name = row.pattern
    number = numbers.get(row.call)
    return name if number is None else f"{name} {number}"


def text_of(parts: tuple[Part, ...]) -> str:
    """Write a path in a line: what took a hundredth of the whole, and what stands around it."""
    least = max(1, WORTH_NAMING * sum(part.microseconds for part in parts))
    named = _named(parts, least)
    shown = [
        str(part) if part.microseconds >= least else part.name
        for place, part in enumerate(parts)
        if place in named
    ]
    rest = sum(part.microseconds for place, part in enumerate(parts) if place not in named)
    line = " > ".join(shown)
    return f"{line} (and {time_text(rest)} elsewhere)" if rest else line


def _named(parts: tuple[Part, ...], least: float) -> set[int]:
    """Give the places of the outermost part, of those that took long, and of those around them."""
    named: set[int] = set()
    for place, part in enumerate(parts):
        above: int | None = place if part.within is None or part.microseconds >= least else None
        while above is not None and above not in named:
            named.add(above)
            above = parts[above].within
    return named


def time_text(microseconds: int) -> str:
    """Write a time for people: `1.20 s`, `3.1 ms`, `12 us`."""
    if microseconds >= 10_000:
        return f"{microseconds / 1_000_000:.2f} s"
    if microseconds >= 1000:
        return f"{microseconds / 1000:.1f} ms"
    return f"{microseconds} us"
