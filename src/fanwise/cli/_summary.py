"""The closing summary of a digest, for people and as data."""

import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from typing import Final

from fanwise.analysis import Blame, CriticalPath, Money, Summary, dollars, report
from fanwise.cli._show_data import money_data
from fanwise.cli._words import count
from fanwise.core import RunRecord
from fanwise.digest import Digest

_MICRO: Final = 1_000_000
_BUSY: Final = 0.8
_WORTH_SAYING: Final = 1.0
_WORTH_NAMING: Final = 0.1
_MOST_NAMED: Final = 10
_WIDTH: Final = 80
_HARD_SPACE: Final = "\xa0"


@dataclass(frozen=True, slots=True)
class Times:
    """Where the time of a run went; `processor` is what the process computed, in seconds."""

    sums: Summary
    path: CriticalPath
    blame: Blame
    processor: float
    reused: int = 0  # results that a journal had

    @property
    def wall(self) -> float:
        """Seconds from start to end."""
        return self.sums.wall / _MICRO

    @property
    def in_a_row(self) -> float:
        """Seconds of the innermost calls, one after another."""
        return self.sums.work / _MICRO


def times_of(record: RunRecord, processor: float) -> Times:
    """Take the times of a finished run from its record."""
    known = report(record)
    reused = sum(bool(row.facts.get("reused")) for row in record.calls)
    return Times(known.summary, known.path, known.blame, processor, reused)


def summary(digest: Digest, times: Times, spent: Iterable[str] = ()) -> Iterator[str]:
    """Give the lines of the summary, which with the command's name before them fit 80 columns.

    `spent` are those about its budget.
    """
    part = digest.part
    yield (
        f"{count(part.documents, 'document')}, {part.answered:,} of "
        f"{count(part.chunks, 'chunk')}, {count(times.sums.calls, 'call')}, "
        f"{count(len(part.statements), 'statement')}"
    )
    yield from time_lines(times)
    kind = "estimated" if part.usage.estimated else "counted by the provider"
    yield f"tokens: {part.usage.tokens_in:,} in, {part.usage.tokens_out:,} out ({kind})"
    yield from cost_lines(times.sums)
    yield from spent
    if part.dropped:
        yield f"dropped: {part.dropped} lines of answers that stand in no passage"
    yield from missing_lines(list(map(str, digest.part.missing)))


def time_lines(times: Times) -> Iterator[str]:
    """Say where the time of a run went."""
    yield (
        f"{times.wall:.2f} s; calls one after another {times.in_a_row:.2f} s "
        f"({times.sums.ratio:.1f} x); processor {times.processor:.2f} s"
    )
    if times.wall >= _WORTH_SAYING and times.processor >= _BUSY * times.wall:
        yield "the processor was busy throughout: more at once would gain nothing"
    if times.reused:
        yield f"kept from before: {count(times.reused, 'result')}, which were not asked for again"
    yield from _wrapped("critical path:", str(times.path).split(" > "))
    yield from _blame(times)


def cost_lines(sums: Summary) -> Iterator[str]:
    """Say what a run cost, what of it was for nothing, and which answers were cut off."""
    if str(sums.money) and sums.money != Money(Decimal(0)):
        yield f"cost: {sums.money}"
    if sums.wasted_money.cost:
        yield f"wasted: {dollars(sums.wasted_money.cost)} of it"
    if sums.cut:
        yield f"not complete: {count(sums.cut, 'answer')} cut off"


def to_data(times: Times) -> dict[str, object]:
    """Give the times as plain data."""
    return {
        "calls": times.sums.calls,
        "seconds": times.wall,
        "seconds_in_a_row": times.in_a_row,
        "seconds_processor": round(times.processor, 6),
        "usage": times.sums.usage,
        "money": money_data(times.sums.money),
        "answers_cut": times.sums.cut,
        "critical_path": [
            {"step": part.name, "calls": part.calls, "seconds": part.seconds}
            for part in times.path.parts
        ],
    }


def _blame(times: Times) -> Iterator[str]:
    """Say what the critical path consisted of, where waiting was a part worth naming."""
    blame = times.blame
    if sum(blame.waits.values()) >= _WORTH_NAMING * max(1, blame.wall):
        shown = (f"{kind} {time / _MICRO:.2f} s" for kind, time in blame.kinds.items())
        yield f"on that path: {', '.join(islice(shown, 4))}"


def missing_lines(missing: list[str]) -> Iterator[str]:
    """Name what is missing, the first ten."""
    if missing:
        yield f"incomplete, {len(missing)} missing:"
        yield from first_lines(missing)


def first_lines(lines: list[str]) -> Iterator[str]:
    """Give the first ten, indented, and how many there are more."""
    yield from (f"  {line}" for line in lines[:_MOST_NAMED])
    if len(lines) > _MOST_NAMED:
        yield f"  and {len(lines) - _MOST_NAMED} more"


def _wrapped(name: str, path: list[str]) -> list[str]:
    """Wrap a path between its parts, never inside one."""
    line = f"{name} " + " > ".join(part.replace(" ", _HARD_SPACE) for part in path)
    wrapped = textwrap.wrap(
        line, _WIDTH - len("fanwise: "), subsequent_indent="  ", break_long_words=False
    )
    return [part.replace(_HARD_SPACE, " ") for part in wrapped]
