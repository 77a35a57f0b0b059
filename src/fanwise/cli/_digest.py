"""`fanwise digest`: a task over documents, answered with quotes and their places."""

import json
import os
from pathlib import Path
from typing import Final, NoReturn

import click

from fanwise.cli._exit import Exit
from fanwise.cli._progress import Progress
from fanwise.cli._running import execute
from fanwise.cli._streams import deliver, say
from fanwise.cli._summary import Times, summary
from fanwise.cli._summary import to_data as times_to_data
from fanwise.cli._view import View
from fanwise.digest import Digest, digest, limits, to_data, to_markdown

_AT_ONCE: Final = 8


@click.command("digest", no_args_is_help=False)
@click.argument("paths", nargs=-1, metavar="PATH...")
@click.option("--task", default=None, metavar="TEXT", help="What is asked of the documents.")
@click.option(
    "--model", default="local:extractive", show_default=True, help="Who answers.", metavar="NAME"
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
    help="Most questions at once.  [default: 8; processors, for a local: model]",
    metavar="N",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON in place of Markdown.")
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
    sentences: int,
    chunk_tokens: int,
    at_once: int | None,
    as_json: bool,
    quiet: bool,
    record: Path | None,
) -> int:
    """Answer a task over documents.

    PATH is a folder (read with all below it), a file, or a quoted pattern such as
    "docs/**/*.md". Read are Markdown, plain text and reStructuredText in UTF-8.

    The digest goes to standard output, in Markdown: quotes, each with its file and the
    characters at which it stands. Progress and a summary go to standard error.

    Exit codes: 0 complete, 1 nothing could be read, 2 wrong use,
    3 something is missing (named), 130 interrupted.
    """
    if not paths:
        _refuse("PATH is missing; name folders, files or patterns, such as docs/")
    if task is None or not task.strip():
        _refuse('--task is empty; say what is asked, such as --task "What is this about?"')
    if at_once is None:
        at_once = _width(model)
    if at_once < 1:
        _refuse(f"--at-once is {at_once}; it must be at least 1")
    progress = Progress()
    try:
        call = digest(
            paths, task, by=model, most=sentences, size_tokens=chunk_tokens, watch=progress
        )
    except ValueError as error:
        _refuse(_in_options(str(error)))
    with View("digest", progress.text, quiet=quiet) as view:
        ended = execute(call, view, limits=limits(at_once), record=record)
    found, times = ended.value, ended.times
    deliver(_json(found, times) if as_json else to_markdown(found))
    if not quiet:
        for line in summary(found, times):
            say(line)
    return _code(found, interrupted=ended.interrupted)


def command(_name: str) -> click.Command:
    """Give the command for its name."""
    return digest_command


def _width(model: str) -> int:
    """Give the questions at once that can be of use: a local model's work is the processor's."""
    return (os.cpu_count() or 1) if model.startswith("local:") else _AT_ONCE


def _refuse(message: str) -> NoReturn:
    raise click.UsageError(message, click.get_current_context())


def _in_options(message: str) -> str:
    """Name the option where the message names the argument of the function."""
    for argument, option in (("most=", "--sentences "), ("size_tokens=", "--chunk-tokens ")):
        message = message.replace(argument, option)
    return message.replace("model=", "--model ")


def _json(found: Digest, times: Times) -> str:
    return json.dumps(to_data(found) | times_to_data(times), indent=2, ensure_ascii=False) + "\n"


def _code(found: Digest, *, interrupted: bool) -> Exit:
    if interrupted:
        return Exit.INTERRUPTED
    if not found.part.documents:
        return Exit.FAILED
    return Exit.COMPLETE if found.complete else Exit.PARTIAL
