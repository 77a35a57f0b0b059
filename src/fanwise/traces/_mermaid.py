"""A run as a Mermaid flowchart: who started whom, who needed whose value, the critical path thick.

Mermaid refuses more than 500 edges and 50,000 characters unless its configuration is changed, so
that the outline of the run is drawn, folded as on the terminal.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from fanwise.analysis import Fold, Line, time_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fanwise.analysis import Report

MOST_EDGES: Final = 500
LONGEST: Final = 60  # characters of a name
SPECIAL: Final = re.compile(r"[^\w .,:+()/-]")


def mermaid(report: Report, most: int = 12) -> str:
    """Give a flowchart of a run.

    A thin arrow leads from a call to one that it started or gathered, a dotted one from an input to
    the call that was bound to it. Places with more than `most` calls are folded.
    """
    return "\n".join(_lines(report, most)) + "\n"


def _lines(report: Report, most: int) -> Iterator[str]:
    yield "flowchart LR"
    shown: dict[int, Line] = {}
    above: list[Line] = []
    critical: list[int] = []
    edges = 0
    for number, each in enumerate(report.outline(most).lines):
        del above[each.depth :]
        name = f"c{each.row.call}" if isinstance(each, Line) else f"more{number}"
        name = name.replace("-", "_")
        yield f"    {name}{_shape(each)}"
        if above:
            lit = isinstance(each, Line) and each.critical
            critical += [edges] if lit else []
            yield f"    {_id(above[-1])} {'==>' if lit else '-->'} {name}"
            edges += 1
        if isinstance(each, Line):
            shown[each.row.call] = each
            above.append(each)
    for line in shown.values():
        for start in line.row.edges:
            if start in shown and edges < MOST_EDGES:
                yield f"    {_id(shown[start])} -.-> {_id(line)}"
                edges += 1
    yield "    classDef critical stroke:#d08700,stroke-width:3px"
    yield "    classDef gap stroke-dasharray:4 3"
    if critical:
        yield f"    linkStyle {','.join(map(str, critical))} stroke:#d08700"


def _id(line: Line) -> str:
    return f"c{line.row.call}".replace("-", "_")


def _shape(each: Line | Fold) -> str:
    if isinstance(each, Fold):
        text = f"{each.hidden:,} more of {each.calls:,}, p50 {time_text(each.p50)}"
        return f'["{escaped(text)}, max {time_text(each.longest)}"]'
    row = each.row
    status = "" if row.status in ("ok", "running") else f", {row.status}"
    name = each.name if len(each.name) <= LONGEST else f"{each.name[: LONGEST - 1]}\u2026"
    text = f"{name or '(no name)'} {time_text(row.end - row.start)}{status}"
    style = ":::critical" if each.critical else "" if not status else ":::gap"
    ends = ('(["', '"])') if row.pattern else ('["', '"]')
    return f"{ends[0]}{escaped(text)}{ends[1]}{style}"


def escaped(text: str) -> str:
    """Write what could end a label, or be read as markup, as Mermaid's entity codes."""
    return SPECIAL.sub(_entity, text)


def _entity(found: re.Match[str]) -> str:
    character = found[0]
    if not character.isprintable():
        character = character.encode("unicode_escape").decode("ascii")
        return character.replace("\\", "#92;")
    return f"#{ord(character)};"
