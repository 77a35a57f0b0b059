"""A traceback of the user's own frames."""

import asyncio
import concurrent.futures
import importlib
import os
from pathlib import Path
from traceback import StackSummary, TracebackException
from typing import Final

import fanwise
from fanwise.errors import FanwiseError

_MACHINERY: Final = (fanwise, asyncio, concurrent.futures, importlib)
_NOT_THE_USERS: Final = (
    *(f"{Path(str(each.__file__)).parent}{os.sep}" for each in _MACHINERY),
    "<frozen importlib",
)


def trace_of(error: BaseException) -> str:
    """Give the traceback of an error, and of what caused it, without the frames of the engine."""
    whole = TracebackException.from_exception(error)
    parts = [whole]
    for part in parts:
        part.stack = StackSummary.from_list(
            [frame for frame in part.stack if not frame.filename.startswith(_NOT_THE_USERS)]
        )
        more = (part.__cause__, part.__context__, *(part.exceptions or ()))
        parts += [each for each in more if each is not None]
    return "".join(whole.format()).replace(f"{FanwiseError.__module__}.", "fanwise.errors.")
