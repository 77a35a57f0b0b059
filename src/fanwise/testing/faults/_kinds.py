"""The kinds of faults: what may happen before, in place of, or after a step's function."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn

from fanwise.core import at_least, whole
from fanwise.testing.faults._values import Fault

if TYPE_CHECKING:
    from fanwise.testing.faults._values import Own

Raised = BaseException | Callable[[], BaseException]


class Refused(Exception):
    """What a server refuses with: `status_code` of HTTP and, in seconds, `retry_after`.

    `Retry` reads both, as it does those of any client library.
    """

    status_code: int
    retry_after: float | None

    def __init__(self, status_code: int = 429, retry_after: float | None = None) -> None:
        wait = "" if retry_after is None else f", Retry-After: {retry_after:g}"
        super().__init__(f"HTTP {status_code}{wait} (a scripted fault)")
        self.status_code = status_code
        self.retry_after = retry_after


def fails(error: Raised = ConnectionError, *, after: float = 0.0) -> Fault:
    """Raise `error` in place of the step's function, `after` seconds from the attempt's start.

    `error` is an exception, or what makes one each time: a class, or a function without arguments.
    """
    _check_error(error)
    at_least("after", after, 0)

    async def act(own: Own) -> NoReturn:  # noqa: ARG001 - the function does not run
        await asyncio.sleep(after)
        _raise(error)

    return Fault(f"fails with {_name(error)}{_at(after)}", act)


def refuses(*, status: int = 429, retry_after: float | None = None, after: float = 0.0) -> Fault:
    """Raise `Refused` in place of the step's function, as a server beyond its rate would.

    `retry_after` is what the server asks to wait, in seconds (`None`: it does not say); `after` as
    in `fails`.
    """
    whole("status", status, 400)
    if retry_after is not None:
        at_least("retry_after", retry_after, 0)
    at_least("after", after, 0)

    async def act(own: Own) -> NoReturn:  # noqa: ARG001 - the function does not run
        await asyncio.sleep(after)
        raise Refused(status, retry_after)

    wait = "" if retry_after is None else f" (Retry-After {retry_after:g} s)"
    return Fault(f"refuses with {status}{wait}{_at(after)}", act)


def hangs() -> Fault:
    """Never end, and never call the step's function: only a cancellation ends the attempt."""

    async def act(own: Own) -> None:  # noqa: ARG001 - the function does not run
        await asyncio.get_running_loop().create_future()

    return Fault("hangs", act)


def slow(seconds: float) -> Fault:
    """Wait so many seconds, then run the step's function."""
    at_least("seconds", seconds, 0)

    async def act(own: Own) -> Any:  # noqa: ANN401 - the step's value
        await asyncio.sleep(seconds)
        return await own()

    return Fault(f"is slow by {seconds:g} s", act)


def gives(value: object, *, after: float = 0.0) -> Fault:
    """Give `value` in place of what the step's function would, after so many seconds."""
    at_least("after", after, 0)

    async def act(own: Own) -> object:  # noqa: ARG001 - the function does not run
        await asyncio.sleep(after)
        return value

    return Fault(f"gives {value!r}{_at(after)}", act)


def loses_reply(error: Raised = ConnectionResetError, *, after: float = 0.0) -> Fault:
    """Run the step's function, drop what it gave and raise `error`: the work was done in vain.

    `after` is in seconds from the end of the function. What a write cannot tell from a failure.
    """
    _check_error(error)
    at_least("after", after, 0)

    async def act(own: Own) -> NoReturn:
        await own()
        await asyncio.sleep(after)
        _raise(error)

    return Fault(f"loses its reply with {_name(error)}{_at(after)}", act)


def deaf(seconds: float) -> Fault:
    """Wait so many seconds without hearing a cancellation, then run the step's function."""
    at_least("seconds", seconds, 0)

    async def act(own: Own) -> Any:  # noqa: ANN401 - the step's value
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while (left := until - loop.time()) > 0:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(left)
        return await own()

    return Fault(f"is deaf to cancellation for {seconds:g} s", act)


def _raise(error: Raised) -> NoReturn:
    made = error if isinstance(error, BaseException) else error()
    raise made.with_traceback(None)  # one exception may be raised many times


def _check_error(error: object) -> None:
    if isinstance(error, type) and not issubclass(error, BaseException):
        good = False
    else:
        good = isinstance(error, BaseException) or callable(error)
    if not good:
        msg = f'error is an exception or makes one, such as ConnectionError("gone"), got {error!r}'
        raise TypeError(msg)


def _name(error: Raised) -> str:
    if isinstance(error, BaseException):
        text = str(error).split("\n", 1)[0]
        return f"{type(error).__name__}: {text}" if text else type(error).__name__
    return getattr(error, "__name__", repr(error))


def _at(after: float) -> str:
    return f" after {after:g} s" if after else ""
