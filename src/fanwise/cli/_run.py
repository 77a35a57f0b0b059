"""`fanwise run`: any step, function or call of the user's, watched, recorded, with an exit code."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from fanwise import Call, NotEnough
from fanwise.cli._budget_option import budget_data, budget_lines, budget_option, read_budget
from fanwise.cli._exit import Exit
from fanwise.cli._inputs import arguments_of
from fanwise.cli._limit_options import limits_option, read_named, with_file
from fanwise.cli._refusal import refuse
from fanwise.cli._result import as_data, as_json, as_text, missing_of
from fanwise.cli._running import Ended, execute
from fanwise.cli._streams import deliver, say, tell
from fanwise.cli._summary import cost_lines, first_lines, missing_lines, time_lines, to_data
from fanwise.cli._target import ImportFailed, find
from fanwise.cli._trace import trace_of
from fanwise.cli._view import View
from fanwise.cli._words import count, plain
from fanwise.core import as_step, step
from fanwise.errors import BudgetSpent


@click.command("run", no_args_is_help=False)
@click.argument("target", required=False, metavar="MODULE:FUNCTION")
@click.option(
    "--input",
    "inputs",
    multiple=True,
    help="Arguments: a JSON object or list, NAME=VALUE, @FILE, or - (standard input).",
    metavar="INPUT",
)
@click.option(
    "--within", type=float, help="Seconds for all of it.  [default: no limit]", metavar="S"
)
@click.option(
    "--limit",
    "widths",
    multiple=True,
    help=(
        'What may be used of a name: "search=8" (calls at once), '
        '"model,requests=500,tokens=200000" (a minute).  [default: no bound]'
    ),
    metavar="LIMIT",
)
@limits_option
@budget_option
@click.option("--json", "as_object", is_flag=True, help="Print one JSON object, also of a failure.")
@click.option("--quiet", is_flag=True, help="No view and no summary on standard error.")
@click.option(
    "--record",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the record of the run to this file (JSON lines).",
    metavar="FILE",
)
def run_command(
    *,
    target: str | None,
    inputs: tuple[str, ...],
    within: float | None,
    widths: tuple[str, ...],
    limits_file: Path | None,
    amounts: tuple[str, ...],
    as_object: bool,
    quiet: bool,
    record: Path | None,
) -> int:
    """Run a step, a function or a call of yours.

    MODULE:FUNCTION names it as Python imports it, the current folder first: jobs:answer is
    answer in jobs.py. Arguments are converted to its annotations.

    The result goes to standard output: text as it stands, anything else as JSON. What the program
    prints goes to standard error, as do the live view and a summary.

    Exit codes: 0 complete, 1 it failed, 2 wrong use, 3 something is missing (named) or the
    budget was spent, 130 interrupted.
    """
    if not target:
        refuse("MODULE:FUNCTION is missing, such as jobs:answer for answer in jobs.py")
    if within is not None and not within >= 0:
        refuse(f"--within is {within:g}; it is seconds, at least 0")
    try:
        limits = with_file(read_named(widths), limits_file)
    except ValueError as error:
        refuse(f"{error}")
    budget = read_budget(amounts)
    with View(target, quiet=quiet, aside=True) as view:
        try:
            call = _call_of(target, inputs)
        except ImportFailed as error:
            tell(trace_of(error.__cause__ or error))
            say(f"{target.partition(':')[0]} cannot be imported", "red")
            return Exit.FAILED
        ended = execute(call, view, limits=limits, record=record, within=within, budget=budget)
    return _report(ended, as_object=as_object, quiet=quiet)


def command(_name: str) -> click.Command:
    """Give the command for its name."""
    return run_command


def _call_of(address: str, inputs: tuple[str, ...]) -> Call[Any]:
    target = find(address)
    if isinstance(target, Call):
        if inputs:
            refuse(f"{address} is a call, which has its arguments: --input is for functions")
        return target
    bound = arguments_of(target, inputs)
    try:
        made = as_step(target)
    except TypeError as error:  # what no step can be made of
        refuse(str(error))
    call: Call[Any] = made(*bound.args, **bound.kwargs)
    return call if call.step.inline else step(name=address)(_through)(call)


async def _through(call: Call[Any]) -> object:
    """Await what a plain function gives, where that is a call: it may have made a pattern."""
    found: object = await call
    while isinstance(found, Call):
        found = await found
    return found


def _report(ended: Ended[object], *, as_object: bool, quiet: bool) -> Exit:
    """Print what a run gave, and why it gave no more."""
    value = None if ended.result is None else ended.result[0]
    missing = missing_of(value)
    data, odd = as_data(value)
    if ended.error is not None:
        _blame(ended.error, interrupted=ended.interrupted)
    code = _code(ended, missing)
    if as_object:
        deliver(as_json(_object(ended, data, missing, code)))
    elif ended.error is None:
        deliver(as_text(data))
    if odd:
        say(f"shown by their repr, since they are no data: {', '.join(odd)}")
    if not quiet:
        for line in _summary(ended):
            say(line)
        for line in missing_lines([plain(": ".join(filter(None, gap))) for gap in missing.items()]):
            say(line, "yellow")
    return code


def _blame(error: Exception, *, interrupted: bool) -> None:
    if isinstance(error, BudgetSpent):
        say(f"no result: {plain(str(error))}")
    elif not interrupted:
        tell(trace_of(error))
    elif isinstance(error, NotEnough):
        say(plain(str(error)))
    else:
        say(f"no result: {type(error).__name__}: {plain(str(error))}")


def _code(ended: Ended[object], missing: Mapping[str, str]) -> Exit:
    if ended.interrupted:
        return Exit.INTERRUPTED
    if ended.times.sums.unfunded:
        return Exit.PARTIAL  # the reason is said, whatever the program made of it
    if ended.error is not None:
        return Exit.FAILED
    return Exit.PARTIAL if missing else Exit.COMPLETE


def _object(
    ended: Ended[object], data: object, missing: Mapping[str, str], code: Exit
) -> dict[str, object]:
    """Give everything that is to be known as plain data."""
    error = ended.error
    found: dict[str, object] = {"status": code.name.lower().replace("_", " "), "value": data}
    if error is not None:
        found["error"] = f"{type(error).__name__}: {error}"
    if isinstance(error, NotEnough):
        found["found"] = as_data(error.found)[0]
    spent = budget_data(ended.budget, ended.times.sums.unfunded)
    return found | {"missing": dict(missing)} | spent | to_data(ended.times)


def _summary(ended: Ended[object]) -> Iterator[str]:
    sums = ended.times.sums
    gaps = [f"{number:,} {word.replace('_', ' ')}" for word, number in sums.gaps.items() if number]
    hedged = ((sums.retries, "retried"), (sums.hedges, "hedged"))
    again = [f"{number:,} {word}" for number, word in hedged if number]
    yield ", ".join([count(sums.calls, "call"), *gaps, *again])
    yield from time_lines(ended.times)
    if sums.usage:
        used = ", ".join(f"{name} {number:,}" for name, number in sums.usage.items())
        yield f"used: {used}{' (estimated)' if sums.estimated else ''}"
    yield from cost_lines(sums)
    yield from budget_lines(ended.budget, sums.unfunded)
    if sums.unretried:
        yield f"not retried: {count(sums.unretried, 'call')}, as the share of retries was spent"
    look = ended.look
    if look.failed:
        yield f"{count(look.failures, 'call')} failed:"
        yield from first_lines([f"{each.name}: {plain(each.error or '')}" for each in look.failed])
