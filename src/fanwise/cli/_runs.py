"""`fanwise runs`: what a journal has of its runs, and what only somebody outside can say."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import click

from fanwise.cli._exit import Exit
from fanwise.cli._refusal import refuse
from fanwise.cli._streams import deliver, say
from fanwise.cli._words import count, plain
from fanwise.core import JournalError
from fanwise.stores import JournalFile, KeptCall, KeptRun

DEFAULT: Final = Path(".fanwise", "journal.db")
_OPEN: Final = ("ambiguous", "failed", "let go")
_JOURNAL: Final = click.option(
    "--journal",
    type=click.Path(dir_okay=False, path_type=Path),
    default=DEFAULT,
    show_default=True,
    help="The journal's file.",
    metavar="FILE",
)
_JSON: Final = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group("runs")
def runs_group() -> None:
    """Show the runs of a journal, and say what became of a write.

    Exit codes: 0 done, 2 wrong use, or no such journal, run or call.
    """


@runs_group.command("list")
@_JOURNAL
@_JSON
def list_command(*, journal: Path, as_json: bool) -> int:
    """List the runs, the latest last.

    A run that is stopped, failed or unresolved goes on when it is run again under its id.
    """
    with opened(journal) as file:
        runs = file.runs()
    if as_json:
        deliver(json.dumps([run._asdict() for run in runs], indent=2) + "\n")
        return Exit.COMPLETE
    for run in runs:
        deliver(_line(run) + "\n")
    if not runs:
        say(f"the journal {journal} has no runs")
    return Exit.COMPLETE


@runs_group.command("show")
@click.argument("run")
@_JOURNAL
@_JSON
@click.option("--calls", "every", is_flag=True, help="Show every call, not those open alone.")
def show_command(*, run: str, journal: Path, as_json: bool, every: bool) -> int:
    """Show what is kept of a run: its calls by step, and those that have no result."""
    with opened(journal) as file:
        kept = next((each for each in file.runs() if each.id == run), None)
        if kept is None:
            refuse(f"the journal {journal} has no run {run!r}; fanwise runs list shows all")
        calls = file.calls(run)
    shown = [call for call in calls if every or call.state in _OPEN]
    if as_json:
        told = kept._asdict() | {"calls": [call._asdict() for call in shown]}
        deliver(json.dumps(told, indent=2) + "\n")
        return Exit.COMPLETE
    deliver("\n".join([_line(kept), *_sums(calls), *map(_call_line, shown)]) + "\n")
    return Exit.COMPLETE


@runs_group.command("resolve")
@click.argument("run")
@click.argument("key")
@click.option("--done", is_flag=True, help="It has happened: the run goes on after it.")
@click.option("--not-done", is_flag=True, help="It has not: the run does it.")
@click.option("--result", help="What it gave, as JSON.  [default: null]", metavar="JSON")
@_JOURNAL
def resolve_command(
    *, run: str, key: str, done: bool, not_done: bool, result: str | None, journal: Path
) -> int:
    """Say whether a write has happened that a run had begun when it ended.

    KEY is the call's, as the run's error and `fanwise runs show` tell it.
    """
    if done == not_done:
        refuse("say --done or --not-done, one of them")
    if result is not None and not done:
        refuse("--result is what a write gave that has happened: it goes with --done")
    value = _result(result)
    with opened(journal) as file:
        file.resolve(run, key, done=done, result=value)
    say(f"{key} is {'done' if done else 'not done'}: run {run!r} can go on")
    return Exit.COMPLETE


def command(_name: str) -> click.Command:
    """Give the command for its name."""
    return runs_group


@contextmanager
def opened(journal: Path) -> Iterator[JournalFile]:
    """Open a journal that is there; what it refuses is said in a line."""
    try:
        with closing(JournalFile(str(journal), create=False)) as file:
            yield file
    except JournalError as error:
        refuse(str(error))


def _result(text: str | None) -> Any:  # noqa: ANN401 - any JSON
    try:
        return None if text is None else json.loads(text)
    except json.JSONDecodeError as error:
        refuse(f"--result {text} is no JSON ({error}); a text stands in quotes: '\"sent\"'")


def _line(run: KeptRun) -> str:
    begun = datetime.fromtimestamp(run.begun).astimezone()
    error = "" if run.error is None else f"  {plain(run.error)}"
    return f"{run.id}  {run.status}  {run.step}  begun {begun:%Y-%m-%d %H:%M:%S}{error}"


def _sums(calls: list[KeptCall]) -> Iterator[str]:
    """Count the calls of each step, by how far they came."""
    sums = Counter((call.step, call.state) for call in calls)
    for step in dict.fromkeys(call.step for call in calls):
        states = [f"{n:,} {state}" for (name, state), n in sums.items() if name == step]
        yield f"  {step}: {', '.join(states)}"
    yield f"  {count(len(calls), 'call')} kept"


def _call_line(call: KeptCall) -> str:
    return f"  {call.key}  {call.state}  {call.step}"
