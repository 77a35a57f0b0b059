"""What goes to another process with a call, and what comes back.

Objects of the engine stay at home: they hold the loop, the run, the caller's values. What a body
may ask of `current()` is declared instead, as atoms; a function goes as the name under which its
module has it, since under that name stands the step, and pickle would refuse the function.
"""

from __future__ import annotations

import inspect
import sys
import time
from concurrent.futures import Future
from contextvars import Context
from importlib import import_module
from types import BuiltinFunctionType, FunctionType
from typing import TYPE_CHECKING, Any

from fanwise.core._current import Current
from fanwise.core._identity import key_of
from fanwise.core._record import facts_of
from fanwise.core._run import generator_for
from fanwise.core._scope import AWAY, DEADLINE, path_of
from fanwise.core._settlement import enter

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping
    from random import Random

    from fanwise.core._call import Call
    from fanwise.core._scope import Attempt, Scope
    from fanwise.core._settlement import Reading

    # Run, step, attempt, seconds left, Unix time now, place for randomness, key.
    Facts = tuple[str, str, int, float | None, float, str, str | None]
    Used = dict[str, Any]


class Job(Future[Any]):
    """The future of a function in another process; `used` is what it told with `usage`.

    Where `here` is set, the loop waits for that first: it comes when the job is done, or when a
    thread has taken it over.
    """

    here: asyncio.Future[None] | None = None
    used: Used | None = None


class CurrentAway(Current):
    """The running call, seen from another process: what was declared of it."""

    __slots__ = ("_began", "_counts", "_left", "_now", "_place", "_run_id", "_told", "_try", "key",
                 "step")  # fmt: skip

    key: str | None
    step: str

    def __init__(self, given: Facts) -> None:
        """See a call through its declared facts, from now on."""
        self._run_id, self.step, self._try, self._left, self._now, self._place, self.key = given
        self._began = time.monotonic()
        self._told: Used = {}
        self._counts: dict[str, int] = {}

    @property
    def run_id(self) -> str:
        """The id of the run."""
        return self._run_id

    @property
    def attempt(self) -> int:
        """The number of this attempt, from 1."""
        return self._try

    @property
    def budget(self) -> None:
        """What is left is known at home only."""

    @property
    def max_tokens(self) -> None:
        """What was reserved is known at home only."""

    @property
    def deadline_left(self) -> float | None:
        """Seconds until the nearest deadline or timeout; `None` where there is none."""
        return None if self._left is None else max(0.0, self._left - self._passed())

    @property
    def idempotency_key(self) -> str:
        """The call's key, where it was made before the call went away."""
        if self.key is None:
            msg = (
                f"the key of {self.step} did not come with it to this process: a step with "
                "keyed=True brings it, or take current().idempotency_key outside and hand it in"
            )
            raise RuntimeError(msg)
        return self.key

    def time(self) -> float:
        """Unix time in seconds."""
        return self._now + self._passed()

    @property
    def used(self) -> Used | None:
        """What was told with `usage`."""
        return self._told or None

    def _passed(self) -> float:
        return time.monotonic() - self._began

    def _facts(self) -> dict[str, Any]:
        return self._told

    def _enter(self, facts: dict[str, Any], reading: Reading) -> None:
        enter(facts, self.attempt, reading)

    def _draw(self, purpose: str, number: int) -> Random:
        return generator_for(f"{self._place}:{purpose}{number}")

    def _uses(self, kind: str) -> int:
        self._counts[kind] = number = self._counts.get(kind, 0) + 1
        return number

    def __repr__(self) -> str:
        """Name step and attempt."""
        return f"<current {self.step} away from its loop, attempt {self.attempt}>"


def declare(call: Call[Any], attempt: Scope | Attempt) -> Facts:
    """Give what goes with a call to another process; raise what making its key raises."""
    run = call.run
    now = run.time()
    until = DEADLINE.get()
    wants_key = call.key is not None or call.policy.keyed
    place = path_of(attempt) if run.journal is None else key_of(call).hex()
    return (
        run.id,
        call.step.name,
        call.attempts,
        None if until is None else until - now,
        run.unix(now),
        f"{run.seed}:{place}",
        key_of(call).hex() if wants_key else None,
    )


def add_used(call: Call[Any], used: Used | None) -> None:
    """Add to a call what its body told in another process."""
    if not used:
        return
    facts = facts_of(call)
    for name, value in used.items():
        if name == "bill":
            facts[name] = [*facts.get(name, ()), *value]
            call.run.runtime.expect_prices(used.get("model"))
            continue
        if name != "usage":
            facts[name] = value
            continue
        usage = facts.setdefault("usage", {})
        for count, number in value.items():
            usage[count] = usage.get(count, 0) + number


def perform(
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    away: CurrentAway | None,
) -> Any:  # noqa: ANN401 - the function's value
    """Run a function in this process, under what was declared of its call."""
    context = Context()
    context.run(AWAY.set, away)
    return context.run(plainly, function, *args, **kwargs)


def perform_and_tell(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], given: Facts
) -> tuple[Any, Used | None]:
    """Give a function's value, and what it used."""
    away = CurrentAway(given)
    return perform(function, args, kwargs, away), away.used


def plainly(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
    """Run a function; a future cannot carry `StopIteration`, which a coroutine would wrap too."""
    try:
        return function(*args, **kwargs)
    except StopIteration as error:
        msg = "the function raised StopIteration"
        raise RuntimeError(msg) from error


class ByName:
    """A function on its way to another process: pickled as its name, called where it is."""

    __slots__ = ("function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        """Stand for `function`."""
        self.function = function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - the function's value
        """Run it here: the pool shares this process's memory."""
        return self.function(*args, **kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        """Arrive as the function itself."""
        return reduced(self.function) or (_same, (self.function,))

    def __repr__(self) -> str:
        """Show the function."""
        return f"<ByName {self.function!r}>"


def _same(function: Callable[..., Any]) -> Callable[..., Any]:
    return function


def reduced(function: object) -> tuple[Any, ...] | None:
    """Give how a function under a step is pickled; `None` where pickle knows how."""
    if isinstance(function, FunctionType):
        module, name = function.__module__, function.__qualname__
        found = _found(module, name)
        if found is not function and getattr(found, "function", None) is function:
            return function_at, (module, name)
    return None


def function_at(module: str, name: str) -> Callable[..., Any]:
    """Give the plain function under a step, by the name that its module has for it."""
    import_module(module)
    found = _found(module, name)
    if found is None:
        msg = f"module {module!r} has no {name!r} in this process"
        raise AttributeError(msg)
    plain: Any = getattr(found, "function", found)
    return plain  # type: ignore[no-any-return]


def _found(module: str, name: str) -> object:
    found: object = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


def check_by_name(step: str, function: Callable[..., Any]) -> None:
    """Raise `TypeError` where another process could not find a function by its name."""
    if inspect.ismethod(function):
        function = function.__func__
    if not isinstance(function, FunctionType):
        return
    module, name = function.__module__, function.__qualname__
    found = _found(module, name)
    why = ""
    if found is not function and getattr(found, "function", None) is not function:
        why = f"{module} has no {name}" if found is None else f"{name} of {module} is another one"
    elif module == "__main__" and not _main_is_a_file():
        why = "what is typed or piped into Python is no module that they could import"
    if why:
        msg = (
            f"the workers of step {step!r} find its function by name, and {why}: define it with "
            "def at the top of a module, or drop pool="
        )
        raise TypeError(msg)


def _main_is_a_file() -> bool:
    main = sys.modules["__main__"]
    path = getattr(main, "__file__", None)
    return getattr(main, "__spec__", None) is not None or (
        path is not None and not path.startswith("<")
    )


def refuse_while_importing(what: str) -> None:
    """Raise where this process is a worker that still imports the main module of its program."""
    module = sys.modules.get("multiprocessing.process")
    if module is not None and getattr(module.current_process(), "_inheriting", False):
        msg = (
            f"{what} starts while a worker process imports the program's main module, and would "
            "start workers of its own without end: put what the script runs under "
            '`if __name__ == "__main__":`'
        )
        raise RuntimeError(msg)


def module_of(function: Callable[..., Any]) -> str:
    """Give the module whose import brings a function."""
    while hasattr(function, "func"):  # functools.partial
        function = function.func
    if not isinstance(function, (FunctionType, BuiltinFunctionType)):
        function = getattr(function, "__func__", type(function))
    return getattr(function, "__module__", None) or "builtins"
