"""What `fanwise show` prints for people."""

from collections.abc import Iterator
from typing import Final

from fanwise.analysis import UNFINISHED, Line, Outline, Report, time_text
from fanwise.cli._bars import Glyphs
from fanwise.cli._colour import Paint
from fanwise.cli._text import clipped, wrapped
from fanwise.cli._waterfall import Waterfall

_MOST_NAMED: Final = 5
_INDENT: Final = "  "


def show_text(report: Report, width: int, glyphs: Glyphs, paint: Paint) -> str:
    """Give the whole page: what set the finish time, the waterfall, and the figures."""
    outline = report.outline()
    lines = [
        *_filled(_heading(report, outline), width, glyphs),
        *(paint(line, "strong") for line in _filled(report.finish, width, glyphs)),
        *_findings(report, width, glyphs),
        "",
        *Waterfall(outline, width, glyphs, paint).lines(),
        "",
        *_path(report, width, glyphs),
        *_fan_ins(report, width, glyphs),
        *_waste(report, width, glyphs),
        *_tax(report, width, glyphs),
        *_sums(report, width, glyphs),
        *_errors(outline, width, glyphs),
    ]
    return "\n".join(lines) + "\n"


def _filled(text: str, width: int, glyphs: Glyphs, first: str = "", rest: str = "") -> list[str]:
    return list(wrapped(glyphs.text(text).split(), width, first, rest, glyphs.dots))


def _heading(report: Report, outline: Outline) -> str:
    main = next(line for line in outline.lines if isinstance(line, Line))
    calls = f"{outline.calls:,} call{'' if outline.calls == 1 else 's'}"
    if main.row.call == UNFINISHED:
        return f"run {report.record.header.run}: not over, {calls} so far"
    return f"run {report.record.header.run}: {main.row.step}, {main.row.status}, {calls}"


def _findings(report: Report, width: int, glyphs: Glyphs) -> Iterator[str]:
    for each in report.findings[:_MOST_NAMED]:
        yield from _filled(f"found {each}", width, glyphs, "", _INDENT)
        yield from _filled(f"cure: {each.cure}", width, glyphs, _INDENT, 2 * _INDENT)
    if len(report.findings) > _MOST_NAMED:
        yield f"and {len(report.findings) - _MOST_NAMED:,} more findings, with --json"


def _path(report: Report, width: int, glyphs: Glyphs) -> Iterator[str]:
    path = [f"{part} >" for part in glyphs.text(str(report.path)).split(" > ")]
    path[-1] = path[-1].removesuffix(" >")
    yield from wrapped(["critical path:", *path], width, "", _INDENT, glyphs.dots)
    if str(report.blame):
        yield from _filled(f"on it: {report.blame}", width, glyphs, "", _INDENT)


def _fan_ins(report: Report, width: int, glyphs: Glyphs) -> Iterator[str]:
    found = sorted(report.fan_ins, key=lambda each: (each.start - each.end, each.call))
    if not found:
        return
    yield "fan-ins:" if len(found) <= _MOST_NAMED else f"fan-ins, the longest of {len(found):,}:"
    for each in found[:_MOST_NAMED]:
        closed = "" if each.reason in (None, "all") else f"; closed: {each.reason}"
        need = "" if each.need is None else f"; needed {each.need:,}"
        yield from _filled(f"{each}{need}{closed}", width, glyphs, _INDENT, 2 * _INDENT)


def _waste(report: Report, width: int, glyphs: Glyphs) -> Iterator[str]:
    lost = report.waste
    if not lost.losses:
        return
    usage = "".join(f", {name} {count:,}" for name, count in lost.usage.items())
    cost = f", {lost.money}" if str(lost.money) else ""
    text = f"waste: {time_text(lost.microseconds)}{usage}{cost} ({lost})"
    yield from _filled(text, width, glyphs, "", _INDENT)
    for loss in lost.losses[:_MOST_NAMED]:
        attempt = "" if loss.attempt is None else f", attempt {loss.attempt}"
        line = f"{loss.name}{attempt}: {loss.why}, {time_text(loss.microseconds)}"
        yield from _filled(line, width, glyphs, _INDENT, 2 * _INDENT)
    if len(lost.losses) > _MOST_NAMED:
        yield f"{_INDENT}and {len(lost.losses) - _MOST_NAMED:,} more"


def _tax(report: Report, width: int, glyphs: Glyphs) -> Iterator[str]:
    if report.fan_ins:
        yield from _filled(f"coordination tax: {report.tax}", width, glyphs, "", _INDENT)


def _sums(report: Report, width: int, glyphs: Glyphs) -> Iterator[str]:
    for line in str(report.summary).splitlines():
        if not line.startswith("wasted:"):
            yield from _filled(line, width, glyphs, "", _INDENT)


def _errors(outline: Outline, width: int, glyphs: Glyphs) -> Iterator[str]:
    lines = [line for line in outline.lines if isinstance(line, Line) and line.row.error]
    inner = [line for line in lines if line.row.pattern is None] or lines
    if inner:
        yield "errors:"
    for line in inner[:_MOST_NAMED]:
        error = (line.row.error or "").partition("\n")[0]
        yield clipped(f"{_INDENT}{glyphs.text(f'{line.name}: {error}')}", width, glyphs.dots)
    if len(inner) > _MOST_NAMED:
        yield f"{_INDENT}and {len(inner) - _MOST_NAMED:,} more"
