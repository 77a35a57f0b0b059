"""`fanwise demo`: runs the three versions, and tells what came of them."""

import asyncio
import json
import math
import os
import sys
import warnings
from collections.abc import Iterator
from dataclasses import asdict
from typing import Final

import click

from fanwise.analysis import Summary
from fanwise.cli._exit import Exit
from fanwise.cli._streams import deliver, say
from fanwise.cli.demo import _story
from fanwise.cli.demo._figures import Figures, run_careful, run_fanwise, run_gather

QUESTIONS: Final = tuple(f"question {number}" for number in range(1, 101))


@click.command("demo")
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=1,
    show_default=True,
    help="What the faults are drawn from.",
)
@click.option("--source", is_flag=True, help="Print the three versions of the job, and run none.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def demo_command(*, seed: int, source: bool, as_json: bool) -> int:
    """Show what Fanwise is for, in under ten seconds.

    One job over flaky, slow and limited services is run three times against the same faults:
    with asyncio.gather, with the care that is usually added, and with Fanwise. What is printed
    is measured while it runs. Nothing is needed for it, neither a key nor a network.

    Exit codes: 0 shown, 2 wrong use, 130 interrupted.
    """
    if source:
        deliver(_story.sources() + "\n")
        return Exit.COMPLETE
    with warnings.catch_warnings():
        # Stopped early, the versions with gather leave coroutines that nobody ever awaits.
        warnings.filterwarnings("ignore", ".*was never awaited", RuntimeWarning)
        try:
            versions, record = asyncio.run(_run(seed))
        except KeyboardInterrupt:
            say("stopped")
            return Exit.INTERRUPTED
    text = _json(versions, seed) if as_json else "\n".join(_told(versions, record, seed))
    deliver(text + "\n")
    return Exit.COMPLETE


def command(_name: str) -> click.Command:
    """Give the command for its name."""
    return demo_command


async def _run(seed: int) -> tuple[list[Figures], Summary]:
    say("1 of 3: asyncio.gather ...")
    first = await run_gather(QUESTIONS, seed)
    say("2 of 3: the same with care ...")
    second = await run_careful(QUESTIONS, seed)
    say("3 of 3: Fanwise ...")
    third, record = await run_fanwise(QUESTIONS, seed)
    return [first, second, third], record


def _told(versions: list[Figures], record: Summary, seed: int) -> Iterator[str]:
    head = _bold if _shows_bold() else str
    parts = (
        _story.introduction(len(QUESTIONS), seed, head),
        _story.table(versions, head),
        _story.code(head),
        _story.difference(versions, record, head),
        _story.onward(head),
    )
    for number, part in enumerate(parts):
        yield from [""] if number else []
        yield from part


def _json(versions: list[Figures], seed: int) -> str:
    shown = []
    for each in versions:
        figures = asdict(each) | {"lines": _story.code_lines(_story.VERSIONS[each.name])}
        shown.append({name: None if it == math.inf else it for name, it in figures.items()})
    return json.dumps({"seed": seed, "versions": shown}, indent=2)


def _shows_bold() -> bool:
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return sys.stdout.isatty() and not plain


def _bold(text: str) -> str:
    return click.style(text, bold=True)
