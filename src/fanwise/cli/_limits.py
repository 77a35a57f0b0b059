"""`fanwise limits`: what stands at limits that processes share over Redis."""

import asyncio
import json
import signal
import sys
import time
from collections.abc import Sequence
from textwrap import wrap
from typing import Final
from urllib.parse import urlsplit

import click

from fanwise.cli._exit import Exit
from fanwise.cli._limits_table import table
from fanwise.cli._refusal import refuse
from fanwise.cli._streams import deliver, say
from fanwise.cli._terminal import is_terminal, shows_view, size_of
from fanwise.cli._words import plain
from fanwise.stores import Board, BoardLost, LimitStanding, redis_board

_SERVER: Final = "redis://127.0.0.1:6379"
_PREFIX: Final = "fanwise"
_COLUMNS: Final = 80
_SHORTEST: Final = 0.1
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


@click.command("limits", no_args_is_help=False)
@click.option("--watch", is_flag=True, help="Show it again and again, until Ctrl-C.")
@click.option(
    "--redis", "url", default=_SERVER, show_default=True, help="The server.", metavar="URL"
)
@click.option(
    "--prefix",
    default=_PREFIX,
    show_default=True,
    help="What the names of its keys begin with.",
    metavar="TEXT",
)
@click.option(
    "--every", default=1.0, show_default=True, help="Seconds between looks.", metavar="SECONDS"
)
@click.option("--json", "as_json", is_flag=True, help="Print one look as JSON.")
def limits_command(*, watch: bool, url: str, prefix: str, every: float, as_json: bool) -> int:
    """Show the limits that processes share over Redis: who waits, and what is used.

    A line for each limit: workers, those of them that wait, slots taken, of each rate the share
    of its bucket that is gone, and how long a 429 stops it. Nothing is written there.

    With --watch in a terminal it is shown until Ctrl-C; in a pipe, once.

    Exit codes: 0 shown, 1 no answer, or no limits there, 2 wrong use or a missing extra,
    130 ended by Ctrl-C.
    """
    if not every >= _SHORTEST:
        refuse(f"--every is {every:g}; it is seconds, at least {_SHORTEST:g}")
    if watch and as_json:
        refuse("--json prints one look: drop --watch")
    try:
        board = redis_board(url, prefix=prefix)
    except ImportError as error:
        refuse(plain(str(error)).replace(url, _without_secrets(url)))
    except ValueError as error:
        option = "--prefix" if str(error).startswith("prefix=") else "--redis"
        refuse(f"{option}: {plain(str(error))}")
    place = f"{_without_secrets(url)}, prefix {prefix}"
    if watch and shows_view(sys.stdout):
        return asyncio.run(_watched(board, place, every))
    return asyncio.run(_shown(board, place, as_json=as_json))


def command(_name: str) -> click.Command:
    """Give the command for its name."""
    return limits_command


async def _shown(board: Board, place: str, *, as_json: bool) -> Exit:
    """Print one look."""
    try:
        standing = await board.standing()
    except BoardLost as error:
        say(_unanswered(place, error))
        return Exit.FAILED
    finally:
        await board.aclose()
    if as_json:
        deliver(json.dumps({"place": place, "limits": [_data(each) for each in standing]}) + "\n")
    elif standing:
        wide = size_of(sys.stdout).columns if is_terminal(sys.stdout) else _COLUMNS
        deliver("\n".join(table(standing, wide)) + "\n")
    if not standing:
        say(_empty(place))
        return Exit.FAILED
    return Exit.COMPLETE


async def _watched(board: Board, place: str, every: float) -> Exit:
    """Draw a look again and again; a server that was there once may go and come back."""
    from rich.text import Text  # noqa: PLC0415 - only where frames are drawn

    from fanwise.cli._screen import Screen  # noqa: PLC0415 - as above

    screen, loop = Screen(sys.stdout), asyncio.get_running_loop()
    ended, due = asyncio.Event(), asyncio.Event()

    def end() -> None:
        ended.set()
        due.set()

    for number in _SIGNALS:
        loop.add_signal_handler(number, end)
    seen = False
    try:
        while not ended.is_set():
            try:
                lines = _frame(await board.standing(), place)
                seen = True
            except BoardLost as error:
                if not seen:
                    say(_unanswered(place, error))
                    return Exit.FAILED
                lines = [
                    _head(place, _columns()),
                    *wrap(f"no answer: {plain(str(error))}", _columns()),
                ]
            columns, rows = size_of(sys.stdout)
            screen.draw([Text(each[: columns - 1]) for each in lines[: rows - 1]])
            due.clear()
            loop.call_later(every, due.set)
            if not ended.is_set():
                await due.wait()
    finally:
        await board.aclose()
    deliver("\n")  # below the ^C
    return Exit.INTERRUPTED


def _frame(standing: Sequence[LimitStanding], place: str) -> list[str]:
    columns = _columns()
    return [_head(place, columns), *(table(standing, columns) if standing else [_empty(place)])]


def _head(place: str, columns: int) -> str:
    now = time.strftime("%H:%M:%S")
    return f"{place:<{columns - len(now) - 1}} {now}"


def _columns() -> int:
    return size_of(sys.stdout).columns - 1


def _empty(place: str) -> str:
    return f"no limits at {place}: they are there while workers use them"


def _unanswered(place: str, error: BoardLost) -> str:
    return f"no answer from {place}: {error}"


def _without_secrets(url: str) -> str:
    """Give an address without the user and the password."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "that address"
    where = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{where}{parts.path}" if parts.scheme else url


def _data(each: LimitStanding) -> dict[str, object]:
    return each._asdict() | {"used": each.used}
