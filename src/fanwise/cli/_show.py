"""`fanwise show`: what a run did, from its record."""

import gc
import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NoReturn, TextIO

import click

from fanwise.analysis import report
from fanwise.cli._bars import glyphs_for
from fanwise.cli._colour import Paint, wanted
from fanwise.cli._exit import Exit
from fanwise.cli._show_data import show_data
from fanwise.cli._show_text import show_text
from fanwise.cli._streams import deliver, say
from fanwise.cli._text import printable
from fanwise.errors import RecordDamaged
from fanwise.record import RunRecord, read_records
from fanwise.traces import mermaid

_STANDARD_INPUT: Final = 0
_LEAST_WIDTH: Final = 60
_MOST_WIDTH: Final = 1000
_MOST_NAMED: Final = 10
_RIGHT: Final = "a record is made by Runtime(record=PATH), or by `fanwise digest ... --record FILE`"


@click.command("show", no_args_is_help=False)
@click.argument("record", required=False, metavar="RECORD")
@click.option("--run", "run_id", default=None, metavar="ID", help="Which run.  [default: the last]")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
@click.option("--mermaid", "as_mermaid", is_flag=True, help="Print a Mermaid flowchart.")
@click.option(
    "--width", type=int, help="Columns.  [default: the terminal's; 80 in a pipe]", metavar="N"
)
def show_command(
    *, record: str | None, run_id: str | None, as_json: bool, as_mermaid: bool, width: int | None
) -> int:
    """Show what a run did: its waterfall, and what set its finish time.

    RECORD is a file that Runtime(record=PATH) wrote, or - for standard input.

    Exit codes: 0 shown, 1 not a record, or damaged (with the number of the line),
    2 wrong use, or no such file.
    """
    if record is None:
        _refuse("RECORD is missing; name the file of a record, or - for standard input")
    if as_json and as_mermaid:
        _refuse("--json and --mermaid are two forms of output; choose one")
    if width is not None and not _LEAST_WIDTH <= width <= _MOST_WIDTH:
        _refuse(f"--width is {width}; it must be from {_LEAST_WIDTH} to {_MOST_WIDTH}")
    with _uncollected():
        return _shown(record, run_id, as_json=as_json, as_mermaid=as_mermaid, width=width)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Keep the collector from visiting what lives until the end anyhow, and has no cycles."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


def _shown(
    record: str, run_id: str | None, *, as_json: bool, as_mermaid: bool, width: int | None
) -> int:
    name = "standard input" if record == "-" else printable(record)
    try:
        records = _read(record)
    except OSError as error:
        _refuse(f"{name} cannot be read: {error.strerror or error}")
    except RecordDamaged as error:
        say(f"{name}: {printable(str(error))}")
        say(_RIGHT)
        return Exit.FAILED
    if not records:
        say(f"{name} holds no run: it is empty; {_RIGHT}")
        return Exit.FAILED
    found = report(_chosen(records, run_id))
    if as_json:
        deliver(json.dumps(show_data(found)) + "\n")
    elif as_mermaid:
        deliver(mermaid(found))
    else:
        columns = width or min(max(_LEAST_WIDTH, shutil.get_terminal_size().columns), _MOST_WIDTH)
        deliver(show_text(found, columns, glyphs_for(sys.stdout.encoding), Paint(on=wanted())))
    return Exit.COMPLETE


def command(_name: str) -> click.Command:
    """Give the command for its name."""
    return show_command


def _refuse(message: str) -> NoReturn:
    raise click.UsageError(message, click.get_current_context())


def _read(name: str) -> list[RunRecord]:
    with _opened(name) as lines:
        return read_records(lines)


def _opened(name: str) -> TextIO:
    """Open a record; a line that was torn may end inside a character."""
    if name == "-":
        copy = os.dup(_STANDARD_INPUT)
        return open(copy, encoding="utf-8", errors="surrogateescape", newline="\n")  # noqa: PTH123
    return Path(name).open(encoding="utf-8", errors="surrogateescape", newline="\n")


def _chosen(records: list[RunRecord], run_id: str | None) -> RunRecord:
    """Give the run that was asked for, else the last, and say what else is there."""
    names = [printable(record.header.run) for record in records]
    shown = ", ".join(names[-_MOST_NAMED:]) + (", ..." if len(names) > _MOST_NAMED else "")
    if run_id is None:
        chosen = records[-1]
        if len(records) > 1:
            say(f"{len(records)} runs; this is the last; --run names another of: {shown}")
    else:
        by_name = {record.header.run: record for record in records}
        if run_id not in by_name:
            _refuse(f"--run {printable(run_id)} is not in it; there are: {shown}")
        chosen = by_name[run_id]
    if chosen.torn:
        say("the last line was cut short, and is left out")
    return chosen
