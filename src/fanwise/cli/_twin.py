"""`fanwise twin`: a provider that is not there, for tests and load."""

import asyncio
import json
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path

import click

from fanwise.cli._exit import Exit
from fanwise.cli._output import Output
from fanwise.cli._refusal import refuse
from fanwise.cli._streams import deliver, say
from fanwise.cli._twin_options import (
    read_answers,
    read_faults,
    read_models,
    read_pace,
    read_prices,
    read_quotas,
)
from fanwise.cli._twin_summary import summary
from fanwise.testing.twin import Entry, Twin


@click.command("twin", no_args_is_help=False)
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Where to listen.", metavar="NAME"
)
@click.option(
    "--port", default=8030, show_default=True, help="Its port; 0 is any free one.", metavar="N"
)
@click.option(
    "--model",
    "models",
    multiple=True,
    help=(
        'A model and how long it takes: "NAME,first=0.4,per_second=80,slow_share=0.05"; '
        'others are not there, unless "*" is. [default: any, at once]'
    ),
    metavar="LAW",
)
@click.option(
    "--quota",
    "quotas",
    multiple=True,
    help=(
        'What a key may use in a minute: "requests=500,tokens=30000,charge=use", '
        "for one model with its NAME in front.  [default: no bound]"
    ),
    metavar="LIMITS",
)
@click.option(
    "--price",
    "prices",
    multiple=True,
    help='Dollars a million tokens: "NAME,input=2.5,output=10".  [default: unknown]',
    metavar="PRICE",
)
@click.option(
    "--batches",
    help=(
        'How long batches take, in seconds: "first=60,each=1,closing=1,window=86400", '
        "or what of it differs."
    ),
    metavar="PACE",
)
@click.option(
    "--answers",
    default="auto",
    show_default=True,
    help="What is answered: auto, echo, extract, choose, quote, or a JSON file of answers.",
    metavar="RULE",
)
@click.option(
    "--faults",
    type=click.Path(dir_okay=False, path_type=Path),
    help="What goes wrong: a JSON file, a list of faults.",
    metavar="FILE",
)
@click.option("--seed", default=0, show_default=True, help="What is drawn.", metavar="N")
@click.option(
    "--ledger",
    help="Write every request and its cost to this file at the end (JSON lines).",
    metavar="FILE",
)
@click.option("--quiet", is_flag=True, help="No hints and no summary on standard error.")
def twin_command(
    *,
    host: str,
    port: int,
    models: Sequence[str],
    quotas: Sequence[str],
    prices: Sequence[str],
    batches: str | None,
    answers: str,
    faults: Path | None,
    seed: int,
    ledger: str | None,
    quiet: bool,
) -> int:
    """Serve OpenAI's and Anthropic's wires without a model behind them.

    For tests and for load on your own agents: the official clients work against it
    unchanged, with any key. Standard output is its address, one line, as soon as it
    listens. Ctrl-C ends it, with a table of what it saw on standard error.

    Exit codes: 0 ended by Ctrl-C, 1 it cannot listen there or the ledger cannot be
    written, 2 wrong use.
    """
    if not 0 <= port <= 65535:
        refuse(f"--port is {port}; it must be between 0 and 65535")
    target = _target(ledger)
    try:
        twin = Twin(
            read_models(models),
            quota=read_quotas(quotas),
            answers=read_answers(answers),
            faults=read_faults(faults),
            prices=read_prices(prices),
            batches=read_pace(batches),
            seed=seed,
        )
    except (ValueError, TypeError) as error:
        refuse(f"{error}")
    try:
        asyncio.run(_serve(twin, host, port, quiet=quiet))
    except OSError as error:
        say(f"cannot listen on {host} port {port}: {error.strerror or error}")
        return Exit.FAILED
    if not quiet:
        for line in summary(twin.ledger):
            say(line)
    return _write(twin.ledger.entries, target)


def command(_name: str) -> click.Command:
    """Give the command for its name."""
    return twin_command


async def _serve(twin: Twin, host: str, port: int, *, quiet: bool) -> None:
    """Serve until a signal comes; a second one ends the process as signals do."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, partial(_end, loop, ended))
    async with twin.serve(host=host, port=port) as address:
        deliver(f"{address}\n")
        if not quiet:
            say(f"OpenAI's clients: base_url={address}/v1; Anthropic's: base_url={address}")
            say("Ctrl-C ends it")
        await ended.wait()


def _end(loop: asyncio.AbstractEventLoop, ended: asyncio.Event) -> None:
    ended.set()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.remove_signal_handler(number)


def _target(path: str | None) -> Output | None:
    """Give the file for the ledger, checked before anything is served."""
    if path is None:
        return None
    target = Output(path)
    try:
        target.check()
    except OSError as error:
        refuse(f"--ledger {path} cannot be written: {error.strerror or error}")
    return target


def _write(entries: Sequence[Entry], target: Output | None) -> Exit:
    if target is not None:
        try:
            target.write("".join(f"{_row(entry)}\n" for entry in entries))
        except OSError as error:
            say(f"{target.name} cannot be written: {error.strerror or error}")
            return Exit.FAILED
    return Exit.COMPLETE


def _row(entry: Entry) -> str:
    """Write an entry as JSON; the key is a secret in real life, and is left out."""
    data = asdict(entry) | {"cost": None if entry.cost is None else f"{entry.cost:f}"}
    with suppress(KeyError):
        del data["key"]
    return json.dumps(data, ensure_ascii=False)
