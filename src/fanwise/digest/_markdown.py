"""A digest as Markdown: a section a document (or a part of the only one), a line a quote."""

import textwrap
from collections.abc import Iterator
from typing import Final

from fanwise.digest._values import Digest, Statement

_WIDTH: Final = 80
_MOST_MISSING: Final = 20


def to_markdown(digest: Digest) -> str:
    """Write a digest as Markdown, at most 80 columns wide where words allow it.

    Sections stand in the order of their best statement, statements in the order of the
    document. Each is followed by its place: file, character offsets from 0, and of HTML and PDF the
    line or page.
    """
    lines = [f"# {' '.join(digest.task.split())}", ""]
    lines.extend(_wrapped(_origin(digest)))
    for title, statements in _sections(digest.part.statements):
        lines.extend(("", f"## {title}", ""))
        for statement in sorted(statements, key=lambda s: (s.source, s.start)):
            lines.extend(_bullet(statement))
    if not digest.part.statements:
        lines.extend(("", *_wrapped(_nothing(digest))))
    lines.extend(_conflicts(digest))
    lines.extend(_missing(digest))
    return "\n".join(lines) + "\n"


def _origin(digest: Digest) -> str:
    part = digest.part
    read = f"{_count(part.documents, 'document')} ({_count(part.chunks, 'chunk')})"
    how = f"Extractive: quoted by {digest.model} from {read}, nothing rewritten."
    if digest.complete:
        return f"*{how}*"
    missing = f"**Incomplete: {_count(len(part.missing), 'part')} missing, named below.**"
    if digest.enough or not part.documents:
        return f"*{how}* {missing}"
    return f"*{how}* {missing} **Too little: {_count(digest.needed, 'document')} needed.**"


def _nothing(digest: Digest) -> str:
    if not digest.part.documents:
        return "No document could be read."
    if digest.part.answered < digest.part.chunks:
        return "No statement was found in what was read."
    return (
        "No sentence of these documents fits the task. A model that selects by words finds "
        "only what is written in the words of the task; try others, or ask for a summary."
    )


def _sections(statements: tuple[Statement, ...]) -> Iterator[tuple[str, list[Statement]]]:
    """Group statements, the best first, by document; those of one document by heading."""
    alone = len({statement.source for statement in statements}) == 1
    found: dict[str, list[Statement]] = {}
    for statement in statements:
        key = _part(statement) if alone else statement.source
        found.setdefault(key, []).append(statement)
    for key, group in found.items():
        yield key if alone else _title(group[0]), group


def _title(statement: Statement) -> str:
    return statement.heading[0] if statement.heading else statement.source


def _part(statement: Statement) -> str:
    return statement.heading[1] if len(statement.heading) > 1 else _title(statement)


def _bullet(statement: Statement) -> Iterator[str]:
    text = " ".join(statement.text.split())
    yield from _wrapped(f"- {text}", indent="  ")
    yield f"  `{statement.place}`"


def _conflicts(digest: Digest) -> Iterator[str]:
    """Show what denies each other side by side, each with its place: who is right stays open."""
    if digest.part.conflicts:
        yield from ("", "## In conflict", "")
        for number, pair in enumerate(digest.part.conflicts):
            if number:
                yield ""
            for statement in (pair.one, pair.other):
                yield from _bullet(statement)


def _missing(digest: Digest) -> Iterator[str]:
    missing = digest.part.missing
    if missing:
        yield from ("", "## Missing", "")
        for gap in missing[:_MOST_MISSING]:
            yield from _wrapped(f"- `{gap.name}`: {gap.reason}", indent="  ")
        if len(missing) > _MOST_MISSING:
            yield f"- and {len(missing) - _MOST_MISSING} more"


def _wrapped(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(
        text, _WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
