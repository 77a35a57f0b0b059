"""A look as lines: what runs, what failed, what was slow, and the rest in counts.

The lines fit the columns and rows that they are given. Text is cut by columns, not by characters,
since a Chinese one takes two.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from fanwise.analysis import Going, Gone, Look, StepCount, dollars
from fanwise.cli._words import count, counts, plain, seconds

MOST_ROWS: Final = 30
_HEADS: Final = StepCount._fields[1:]
_MOST_LINES: Final = (8, 30, 8, 4)  # of the sections: steps, longest running, failed, slowest
_NUMBER: Final = 10  # columns
_NAME: Final = (16, 40)  # columns: fewest and most
_GAP: Final = "  "


class Section(NamedTuple):
    """Lines under a head. `total` counts what they would be, were all shown."""

    head: str
    style: str
    lines: Sequence[Text]
    total: int

    def cut(self, room: int) -> Iterator[Text]:
        """Give head and first lines, as many as there is room for."""
        shown = room - 1
        if shown > 0:
            partly = f" ({shown:,} of {self.total:,})" if shown < self.total else ""
            yield Text(f"{self.head}{partly}", self.style)
            yield from self.lines[:shown]


def lines_of(name: str, told: str, look: Look, columns: int, rows: int) -> list[Text]:
    """Give a frame of at most `rows` lines, and 30, each at most `columns` wide.

    `name` says what runs, `told` what its own program tells of it, if anything.
    """
    room = max(1, min(rows, MOST_ROWS))
    lines = [_title(name, look), *([Text(plain(told))] if told else [])]
    sections = _steps(look), _going(look), _failed(look), _slowest(look)
    wanted = [min(len(s.lines), most) + 1 for s, most in zip(sections, _MOST_LINES, strict=True)]
    for section, kept in zip(sections, shares(room - len(lines), wanted), strict=True):
        lines += section.cut(kept)
    for line in lines:
        line.truncate(columns, overflow="ellipsis")
    return lines[:room]


def shares(room: int, wanted: Sequence[int]) -> list[int]:
    """Share lines among sections, in turn one each, until none are left or all have enough.

    A section has two lines at least, its head and a call, or none.
    """
    given = [0] * len(wanted)
    for number, lines in enumerate(wanted):
        if lines > 1 and room > 1:
            given[number] = 2
            room -= 2
    while room > 0 and any(0 < has < wants for has, wants in zip(given, wanted, strict=True)):
        for number, wants in enumerate(wanted):
            if room and 0 < given[number] < wants:
                given[number] += 1
                room -= 1
    return given


def _title(name: str, look: Look) -> Text:
    title = Text.assemble((plain(name), "bold"), f"  {seconds(look.seconds)}  {counts(look)}")
    if look.usage:
        about = "about " if look.estimated else ""
        given, made = (look.usage.get(f"tokens_{way}", 0) for way in ("in", "out"))
        title.append(f", tokens {about}{given:,} in, {made:,} out")
    if look.money.cost is not None:
        about = "about " if look.money.estimated else ""
        more = " or more" if look.money.unpriced else ""
        title.append(f", {about}{dollars(look.money.cost)}{more}")
    return title


def _steps(look: Look) -> Section:
    steps = sorted(look.steps, key=_quiet)
    width = _width(step.name for step in steps)
    head = "steps".ljust(len(_GAP) + width) + "".join(word.rjust(_NUMBER) for word in _HEADS)
    return Section(head, "dim", [_step(step, width) for step in steps], len(steps))


def _quiet(step: StepCount) -> tuple[int, int]:
    """Order steps: first what lives, then what did most."""
    return -(step.running + step.waiting), -(step.done + step.failed + step.dropped)


def _step(step: StepCount, width: int) -> Text:
    line = Text(_GAP + _cell(step.name, width))
    for field, number in zip(_HEADS, step[1:], strict=True):
        style = "dim" if not number else "red" if field == "failed" else ""
        line.append(f"{number:,}".rjust(_NUMBER), style)
    return line


def _going(look: Look) -> Section:
    live = sum(step.running + step.waiting for step in look.steps)
    rows = [(each.name, each.age, _state(each)) for each in look.going]
    return Section("longest running", "cyan", _rows(rows), max(live, len(rows)))


def _state(call: Going) -> Text:
    text = Text()
    number = call.attempts + (
        call.error is not None and call.waits != ""
    )  # the next, while it waits
    if number > 1:
        text.append(f"attempt {number}{_GAP}")
    if call.waits:
        text.append(f"{plain(_waiting(call))}{_GAP}", "yellow")
    if call.error is not None:
        text.append(f"after {plain(call.error)}{_GAP}", "red")
    if call.under:
        text.append(f"in {' < '.join(map(plain, call.under))}", "dim")
    return text


_WAITING: Final = {
    "limit": "waits for limit {}",
    "budget": "waits for {}",
    "pool": "waits for a thread",
    "backoff": "backs off, {} s",
    "cache": "waits for {}, which asks the same",
    "reader": "waits for its reader",
}


def _waiting(call: Going) -> str:
    if call.waits == "inputs":
        return f"waits for {count(int(call.detail), 'input')}"
    return _WAITING.get(call.waits, "is about to start").format(call.detail)


def _failed(look: Look) -> Section:
    rows = [(gone.name, gone.seconds, Text(_cause(gone))) for gone in look.failed]
    return Section("failed", "red", _rows(rows), look.failures)


def _cause(gone: Gone) -> str:
    return plain(gone.error or gone.status)


def _slowest(look: Look) -> Section:
    rows = [(gone.name, gone.seconds, Text()) for gone in look.slowest]
    return Section("slowest so far", "magenta", _rows(rows), len(rows))


def _rows(rows: Sequence[tuple[str, float, Text]]) -> list[Text]:
    width = _width(name for name, _, _ in rows)
    return [
        Text(f"{_GAP}{_cell(name, width)}{seconds(took).rjust(_NUMBER)}{_GAP}").append_text(rest)
        for name, took, rest in rows
    ]


def _width(names: Iterable[str]) -> int:
    return min(_NAME[1], max(_NAME[0], *(cell_len(plain(name)) for name in names), 0))


def _cell(name: str, width: int) -> str:
    shown = plain(name)
    if cell_len(shown) > width:
        return set_cell_size(shown, width - 1) + "…"
    return set_cell_size(shown, width)
