"""What a pool and its workers say to each other: pickles, one a message, over a socket pair.

To a worker: the name of a module to import, a call `(function, args, kwargs, facts)`, or `None`
for the end. Back: `(True, value, used)` or `(False, Failure, used)`. Pickle is for this one
machine and user; nothing of it is ever stored.
"""

from __future__ import annotations

import pickle
import traceback
from io import BytesIO
from multiprocessing.reduction import ForkingPickler
from typing import TYPE_CHECKING, Any, NamedTuple

from fanwise.core import RemoteError, reduced

if TYPE_CHECKING:
    from collections.abc import Callable

loads = pickle.loads


class Pickler(ForkingPickler):
    """Pickles as multiprocessing does, and the functions of steps by their names."""

    def reducer_override(self, thing: object) -> Any:  # noqa: ANN401 - the protocol of pickle
        """Give how the function of a step is found again."""
        return reduced(thing) or NotImplemented


def dumps(thing: object) -> memoryview:
    """Pickle one message."""
    buffer = BytesIO()
    Pickler(buffer, pickle.HIGHEST_PROTOCOL).dump(thing)
    return buffer.getbuffer()


class Failure(NamedTuple):
    """An exception on its way home: pickled where that works, and as text."""

    pickled: bytes | None
    line: str
    text: str


class RemoteTraceback(Exception):
    """The traceback in a worker, as the cause of the exception that it sent."""

    def __str__(self) -> str:
        """Show it apart from the frames here."""
        return f'\n"""\n{self.args[0]}"""'


def failure_of(error: BaseException, ours: tuple[str, ...]) -> Failure:
    """Pack an exception; the leading frames in files of `ours` are left out of its text."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename in ours:
        trace = trace.tb_next
    text = "".join(traceback.format_exception(type(error), error, trace))
    line = "".join(traceback.format_exception_only(type(error), error)).strip()
    return Failure(_pickled(error), line, text)


def _pickled(error: BaseException) -> bytes | None:
    try:
        return bytes(dumps(error))
    except Exception as why:  # noqa: BLE001 - whatever a user's class does in pickling
        error.add_note(f"it cannot be pickled: {why}")
        return None


def error_of(failure: Failure) -> BaseException:
    """Unpack an exception; one that does not come through is a `RemoteError` with its story."""
    error = RemoteError(failure.line)
    if failure.pickled is not None:
        try:
            error = loads(failure.pickled)
        except Exception as why:  # noqa: BLE001 - whatever a user's class does in unpickling
            error.add_note(f"it cannot be unpickled: {why}")
    error.__cause__ = RemoteTraceback(failure.text)
    return error


def name_of(function: Callable[..., Any]) -> str:
    """Give a function's name for a message."""
    return str(getattr(function, "__qualname__", function))
