"""`fanwise digest`: a task over documents, answered with quotes and their places."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import click

from fanwise import Limit
from fanwise.cli._budget_option import budget_data, budget_lines, budget_option, read_budget
from fanwise.cli._exit import Exit
from fanwise.cli._given import with_input
from fanwise.cli._kept_runs import kept_as
from fanwise.cli._limit_options import (
    fits,
    limits_option,
    read_quotas,
    with_file,
)
from fanwise.cli._output import Output
from fanwise.cli._progress import Progress
from fanwise.cli._refusal import refuse
from fanwise.cli._running import Ended, execute
from fanwise.cli._streams import deliver, say
from fanwise.cli._summary import summary
from fanwise.cli._summary import to_data as times_to_data
from fanwise.cli._view import View
from fanwise.core import JournalError
from fanwise.digest import Bounds, Digest, digest, limits, to_data, to_markdown
from fanwise.documents import FORMATS, Reason

_AT_ONCE: Final = 8
_AT_ONCE_IN_QUOTA: Final = 64
_OPTIONS: Final = {
    "most": "sentences",
    "size_tokens": "chunk-tokens",
    "model": "model",
    "arity": "arity",
    "within": "within",
    "need": "need",
}
"""The option for each argument with which a message may begin."""


class Models(NamedTuple):
    """The addresses of who quotes and of who chooses."""

    map: str
    reduce: str


@click.command("digest", no_args_is_help=False)
@click.argument("paths", nargs=-1, metavar="PATH...")
@click.option("--task", default=None, metavar="TEXT", help="What is asked of the documents.")
@click.option(
    "--model", default="local:extractive", show_default=True, help="Who answers.", metavar="NAME"
)
@click.option("--map-model", help="Who quotes from the chunks.  [default: --model]", metavar="NAME")
@click.option(
    "--reduce-model",
    help="Who chooses among what was quoted.  [default: --model]",
    metavar="NAME",
)
@click.option(
    "--sentences", default=12, show_default=True, help="Most statements shown.", metavar="N"
)
@click.option(
    "--chunk-tokens", default=1500, show_default=True, help="Size of a chunk.", metavar="N"
)
@click.option(
    "--at-once",
    type=int,
    help="Most questions at once.  [default: 8; 64 in a quota; processors, for a local: model]",
    metavar="N",
)
@click.option(
    "--limit",
    "quotas",
    multiple=True,
    help=(
        'What may be used of the models in a minute: "requests=500,tokens=200000,charge=use", '
        "for one model with its NAME in front.  [default: no bound]"
    ),
    metavar="LIMITS",
)
@budget_option
@limits_option
@click.option(
    "--arity", default=10, show_default=True, help="Answers that a merge takes.", metavar="N"
)
@click.option(
    "--within",
    type=float,
    help="Time for the whole; then what is there is given.  [default: no bound]",
    metavar="SECONDS",
)
@click.option(
    "--need",
    default="1",
    show_default=True,
    help='Documents that must go into it: a count, a share ("80%") or "all".',
    metavar="COUNT",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    metavar="NAME",
    help=f"How standard input is written: {', '.join(FORMATS)}.  [default: guessed]",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON in place of Markdown.")
@click.option(
    "-o", "--output", help="Write the digest to this file, whole or not at all.", metavar="FILE"
)
@click.option(
    "--resume",
    is_flag=True,
    help="Keep results in .fanwise/journal.db; the same command goes on where it was.",
)
@click.option("--quiet", is_flag=True, help="No progress and no summary on standard error.")
@click.option(
    "--record",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the record of the run to this file (JSON lines).",
    metavar="FILE",
)
def digest_command(
    *,
    paths: tuple[str, ...],
    task: str | None,
    model: str,
    map_model: str | None,
    reduce_model: str | None,
    sentences: int,
    chunk_tokens: int,
    at_once: int | None,
    quotas: tuple[str, ...],
    limits_file: Path | None,
    amounts: tuple[str, ...],
    arity: int,
    within: float | None,
    need: str,
    form: str | None,
    as_json: bool,
    output: str | None,
    resume: bool,
    quiet: bool,
    record: Path | None,
) -> int:
    """Answer a task over documents.

    PATH is a folder (read with all below it), a file, a quoted pattern such as
    "docs/**/*.md", or - for standard input. Read are Markdown, plain text and
    reStructuredText in UTF-8, HTML, and PDF (with the extra: fanwise[pdf]).

    The digest goes to standard output, in Markdown: quotes, each with its file and the
    characters at which it stands. Progress and a summary go to standard error.

    With --resume a digest that was stopped, or failed, is gone on with by the same
    command: what it had is not asked for again. One that ended is made anew.

    Exit codes: 0 complete, 1 less than --need could be read, 2 wrong use or a missing
    extra, 3 something is missing (named), 130 interrupted.
    """
    by = Models(map_model or model, reduce_model or model)
    defined = _limits(quotas, by)
    bounded = limits_file is not None or any(limit.rates for limit in defined.values())
    width = _checked(paths, task, _width(by, bounded=bounded) if at_once is None else at_once)
    quota = with_file(limits(width) | defined, limits_file)
    budget = read_budget(amounts)
    target = _target(output)
    progress = Progress()
    try:
        bounds = Bounds(sentences, chunk_tokens, arity, within, _count(need))
        places, library = with_input(paths, form)
        call = digest(
            places,
            task or "",
            by=by.map,
            merge_by=by.reduce,
            bounds=bounds,
            library=library,
            watch=progress,
        )
    except (ValueError, ImportError) as error:  # wrong use, or a model whose extra is missing
        refuse(_in_options(str(error)))
    except OSError as error:
        refuse(f"standard input cannot be read: {error.strerror or error}")
    kept = kept_as(call) if resume else None
    with View("digest", progress.text, quiet=quiet) as view:
        ended = execute(call, view, limits=quota, record=record, budget=budget, kept=kept)
    if isinstance(ended.error, JournalError):
        refuse(str(ended.error))
    found, times = ended.value, ended.times
    written = _write(_json(ended) if as_json else to_markdown(found), target)
    if not quiet:
        for line in summary(found, times, _spent(ended)):
            say(line)
    if found.part.documents and not found.enough:
        say(_too_little(found))
    return _code(ended) if written else Exit.FAILED


def command(_name: str) -> click.Command:
    """Give the command for its name."""
    return digest_command


def _checked(paths: tuple[str, ...], task: str | None, at_once: int) -> int:
    """Refuse what cannot be meant, and give the width."""
    if not paths:
        refuse("PATH is missing; name folders, files or patterns, such as docs/, or - for stdin")
    if task is None or not task.strip():
        refuse('--task is empty; say what is asked, such as --task "What is this about?"')
    if at_once < 1:
        refuse(f"--at-once is {at_once}; it must be at least 1")
    return at_once


def _width(by: Models, *, bounded: bool) -> int:
    """Give the questions at once that can be of use: a local model's work is the processor's.

    Where a quota bounds what is asked, the width only bounds what waits for it.
    """
    if all(name.startswith("local:") for name in by):
        return os.cpu_count() or 1
    return _AT_ONCE_IN_QUOTA if bounded else _AT_ONCE


def _limits(quotas: tuple[str, ...], by: Models) -> dict[str, Limit]:
    """Read the limits; refuse one that is for no model that is asked."""
    try:
        defined = read_quotas(quotas)
    except ValueError as error:
        refuse(f"{error}")
    asked = [name for name in dict.fromkeys(by) if not name.startswith("local:")]
    for name in defined:
        if not any(fits(each, [name]) for each in asked):
            used = " and ".join(dict.fromkeys(by))
            refuse(f"--limit {name!r} is for a model that is not asked; asked: {used}")
    return defined


def _in_options(message: str) -> str:
    """Name the option where the message names the argument of the function."""
    for argument, option in _OPTIONS.items():
        if message.startswith(argument):
            return f"--{option} {message.removeprefix(argument).lstrip('= ')}"
    return message


def _count(need: str) -> int | str:
    """Give a count as a number; a share stays as it is."""
    return int(need) if need.removeprefix("-").isdecimal() else need


def _target(output: str | None) -> Output | None:
    """Give the file for the result, checked before any work begins."""
    if output is None or output == "-":
        return None
    target = Output(output)
    try:
        target.check()
    except OSError as error:
        refuse(f"--output {output} cannot be written: {error.strerror or error}")
    return target


def _write(text: str, target: Output | None) -> bool:
    """Write the result; where the file cannot be written, print it, so that it is not lost."""
    failed = False
    if target is not None:
        try:
            target.write(text)
        except OSError as error:
            failed = True
            say(f"{target.name} cannot be written: {error.strerror or error}; it stays as it was")
            say("the digest goes to standard output instead")
        else:
            return True
    try:
        deliver(text)
    except OSError as error:
        failed = True
        say(f"standard output cannot be written: {error.strerror or error}")
    return not failed


def _too_little(found: Digest) -> str:
    return (
        f"too little: {found.part.digested} of {found.found} documents went into it; "
        f"--need {found.need} asks for {found.needed}"
    )


def _spent(ended: Ended[Digest]) -> Iterator[str]:
    return budget_lines(ended.budget, ended.times.sums.unfunded)


def _json(ended: Ended[Digest]) -> str:
    data = to_data(ended.value) | budget_data(ended.budget, ended.times.sums.unfunded)
    return json.dumps(data | times_to_data(ended.times), indent=2, ensure_ascii=False) + "\n"


def _code(ended: Ended[Digest]) -> Exit:
    found = ended.value
    if ended.interrupted:
        return Exit.INTERRUPTED
    if not found.part.documents and _lacks_an_extra(found):
        return Exit.WRONG_USE
    if not found.enough:
        return Exit.FAILED
    whole = found.complete and not ended.times.sums.unfunded
    return Exit.COMPLETE if whole else Exit.PARTIAL


def _lacks_an_extra(found: Digest) -> bool:
    """Tell whether an extra that is not installed is all that stood in the way."""
    gaps = found.part.missing
    return bool(gaps) and all(gap.reason.startswith(Reason.MISSING_EXTRA) for gap in gaps)
