"""What runs in a worker process: one message, one function, one answer, until the pool is gone.

A worker leads a process group of its own, so that Ctrl-C in the terminal does not reach it and a
kill takes along whatever its function has started. Signals that ask for an end are the parent's to
answer. When the parent is gone, however it went, the group kills itself.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import threading
from contextlib import suppress
from importlib import import_module
from multiprocessing import process, spawn
from typing import Any, NamedTuple

from fanwise.core import CurrentAway, perform, plainly
from fanwise.pools._channel import SMALL, Channel, is_plain
from fanwise.pools._messages import dumps, failure_of, loads, name_of

OURS = (__file__, plainly.__code__.co_filename)


def main(descriptor: int) -> None:
    """Serve the pool at the other end of a socket, to its end."""
    for number in (signal.SIGINT, signal.SIGTERM):
        # A function, not SIG_IGN: programs that the user's function starts would inherit that.
        signal.signal(number, _ignore)
    _give_way()
    over = threading.Event()
    threading.Thread(target=_watch, args=(descriptor, over), daemon=True).start()
    with socket.socket(fileno=descriptor) as end:
        channel = Channel(end)
        if _prepared(channel):
            _serve(channel)
        over.set()


def _ignore(number: int, frame: object) -> None:
    """Leave it to the parent."""


def _give_way() -> None:
    """Never interrupt the loop: what it still has to do keeps the other workers busy.

    Waking a worker else takes the processor from the loop that wakes it, for a whole task. The
    share of the processor stays the same; what a function starts inherits it.
    """
    if hasattr(os, "SCHED_BATCH") and os.sched_getscheduler(0) == os.SCHED_OTHER:
        with suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def _watch(descriptor: int, over: threading.Event) -> None:
    """Kill this group when the other end is closed before the end was said."""
    poll = select.poll()
    poll.register(descriptor, 0)  # hanging up is reported unasked
    poll.poll()
    if not over.is_set():
        os.killpg(0, signal.SIGKILL)


def _prepared(channel: Channel) -> bool:
    """Import the program's main module, as multiprocessing does; say how that went."""
    here: Any = process.current_process()
    here._inheriting = True  # noqa: SLF001 - how multiprocessing, and the runtime, know it
    try:
        spawn.prepare(loads(channel.receive()))
    except BaseException as error:  # noqa: BLE001 - a main module may even exit
        channel.send(dumps(failure_of(error, OURS)))
        return False
    finally:
        del here._inheriting  # noqa: SLF001 - as above
    channel.send(dumps(None))
    return True


def _serve(channel: Channel) -> None:
    while True:
        try:
            message = channel.receive()
        except (EOFError, OSError):
            return
        answer = answer_to(message)
        del message
        if answer is None:
            return
        channel.send(answer.message, plain=answer.plain)


class Answer(NamedTuple):
    """A message, and whether the loop itself may read it."""

    message: memoryview
    plain: bool = False


def answer_to(message: bytes | bytearray) -> Answer | None:
    """Do what a message says and give the answer; `None` where it says to end."""
    try:
        order = loads(message)
        del message
        if order is None:
            return None
        if isinstance(order, str):
            import_module(order)
            return Answer(dumps(None))
    except BaseException as error:  # noqa: BLE001 - goes home
        return Answer(dumps((False, failure_of(error, OURS), None)))
    return _called(*order)


def _called(function: Any, args: Any, kwargs: Any, facts: Any) -> Answer:  # noqa: ANN401
    away = None if facts is None else CurrentAway(facts)
    try:
        value = perform(function, args, kwargs, away)
    except BaseException as error:  # noqa: BLE001 - goes home
        return Answer(dumps((False, failure_of(error, OURS), None if away is None else away.used)))
    finally:
        _flush()
    used = None if away is None else away.used
    try:
        message = dumps((True, value, used))
    except Exception as why:  # noqa: BLE001 - whatever the value's class does in pickling
        msg = f"the result of {name_of(function)} cannot be sent from its worker: {why}"
        unsendable = TypeError(msg)
        unsendable.__cause__ = why
        return Answer(dumps((False, failure_of(unsendable, OURS), used)))
    return Answer(message, plain=len(message) <= SMALL and is_plain(value, used))


def _flush() -> None:
    """Show what was printed: a worker that is killed later would lose it."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and not stream.closed:
            stream.flush()
