"""`step`: a function with a name and a policy. Called, it gives a `Call`."""

from __future__ import annotations

import inspect
from functools import update_wrapper
from sys import _getframe
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Concatenate,
    Generic,
    ParamSpec,
    Protocol,
    Self,
    TypeVar,
    cast,
    overload,
)

from fanwise.core._budget import check_budget
from fanwise.core._call import Call
from fanwise.core._identity import identified
from fanwise.core._policies import Policy, check_pool
from fanwise.core._streams import StreamCall
from fanwise.core._watchers import excuse, refuse_write_below_race

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from fanwise.core._budget import Budget
    from fanwise.core._policies import Breaker, Cache, Effect, Hedge, Retry, Timeout
    from fanwise.core._protocols import Need
    from fanwise.core._scope import Attempt, Scope

P = ParamSpec("P")
Q = ParamSpec("Q")
R_co = TypeVar("R_co", covariant=True)
R = TypeVar("R")
S = TypeVar("S")
T = TypeVar("T")
C = TypeVar("C", bound="Call[Any]")

UNSET: Any = object()
MADE_BY = "fanwise_made_by"


class Definition(Generic[R_co]):
    """What a step is: a function, a name, a policy; `pattern` where it is the body of a pattern."""

    ahead: Callable[[Call[Any]], bool] | None = None  # begins a call without a task, where it can
    bare_function: bool
    function: Callable[..., Any]
    inline: bool
    name: str
    owns_arguments: bool
    parameters: tuple[str, ...]
    pattern: str | None
    policy: Policy
    streams: ClassVar[bool] = False
    writes: bool

    def __init__(
        self, function: Callable[..., Any], name: str, policy: Policy, pattern: str | None = None
    ) -> None:
        """Wrap `function`; `pattern` names the pattern whose body it is."""
        policy.check_pace(name, streams=self.streams)
        check_budget(f"budget of the step {name}", policy.budget)
        self.function = function
        self.name = name
        self.policy = policy
        self.pattern = pattern
        self.inline = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
            getattr(function, "__call__", None)  # noqa: B004 - an object whose call is a coroutine
        )
        self.writes = policy.effect == "write"
        check_pool(name, policy, inline=self.inline or self.streams)
        self.bare_function = False  # True where a pattern was given it: a call that it gives is run
        self.owns_arguments = False  # True where it was made around one awaitable
        self.parameters = _positional(function)
        if pattern is None:
            update_wrapper(cast("Callable[..., Any]", self), function, updated=())

    def __repr__(self) -> str:
        """Name the step."""
        return f"<step {self.name}>"


class Step(Definition[R_co], Generic[P, R_co]):
    """A function with a name and a policy; `step` makes it.

    `.function` is the plain function, `.using(timeout=1.0)` the same step under another policy.
    """

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Call[R_co]:
        """Describe the step applied to arguments; nothing runs before the call is awaited."""
        call = Call(self, args, kwargs)
        here = call.home
        if self.writes:
            refuse_write_below_race(call)
        if here is not None and here.digests and self.pattern is None:
            return _identified(call, here)
        return call

    def fresh(self, *args: P.args, **kwargs: P.kwargs) -> Call[R_co]:
        """Describe it as a call of its own, which no other attempt of its maker takes over.

        For those who make the attempts of one call themselves.
        """
        return Call(self, args, kwargs)

    @overload
    def __get__(self, instance: None, owner: type | None = None) -> Step[P, R_co]: ...
    @overload
    def __get__(
        self: Step[Concatenate[S, Q], R_co], instance: S, owner: type | None = None
    ) -> BoundStep[Q, R_co]: ...
    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """Bind a step that is a method to its instance."""
        return self if instance is None else BoundStep(self, instance)

    def using(  # noqa: PLR0913 - one argument for each policy
        self,
        *,
        timeout: float | Timeout | None = UNSET,
        retry: Retry | None = UNSET,
        hedge: Hedge | None = UNSET,
        limit: str | None = UNSET,
        breaker: Breaker | None = UNSET,
        cache: Cache | None = UNSET,
        pool: str | None = UNSET,
        needs: Need | Callable[..., Need] | None = UNSET,
        budget: Budget | None = UNSET,
    ) -> Self:
        """Give the same step under another policy; what is not named stays."""
        given: dict[str, Any] = {"timeout": timeout, "retry": retry, "hedge": hedge}
        given |= {"limit": limit, "breaker": breaker, "cache": cache, "pool": pool, "needs": needs}
        given["budget"] = budget
        changes = {name: value for name, value in given.items() if value is not UNSET}
        return type(self)(self.function, self.name, self.policy.changed(changes), self.pattern)


class StreamStep(Step[P, list[T]], Generic[P, T]):
    """A step whose function is an async generator; `step` makes it."""

    streams = True

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> StreamCall[T]:
        """Describe the stream of some arguments: `async with` reads it, `await` gives the list."""
        call: StreamCall[T] = StreamCall(self, args, kwargs)
        call.reader = None
        call.taken = False
        here = call.home
        if self.writes:
            refuse_write_below_race(call)
        if here is not None and here.digests:
            return cast("StreamCall[T]", _identified(call, here))
        return call

    def fresh(self, *args: P.args, **kwargs: P.kwargs) -> StreamCall[T]:
        """Describe it as a call of its own, as `Step.fresh`."""
        call: StreamCall[T] = StreamCall(self, args, kwargs)
        call.reader = None
        call.taken = False
        return call

    @overload
    def __get__(self, instance: None, owner: type | None = None) -> StreamStep[P, T]: ...
    @overload
    def __get__(
        self: StreamStep[Concatenate[S, Q], T], instance: S, owner: type | None = None
    ) -> BoundStreamStep[Q, T]: ...
    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """Bind a stream that is a method to its instance."""
        return self if instance is None else BoundStreamStep(self, instance)


class BoundStep(Generic[P, R_co]):
    """A step that is a method, and its instance."""

    __slots__ = ("instance", "step")

    instance: object
    step: Definition[R_co]

    def __init__(self, of: Definition[R_co], instance: object) -> None:
        """Bind `of` to `instance`."""
        self.step = of
        self.instance = instance

    @property
    def function(self) -> Callable[..., Any]:
        """The plain method, bound."""
        return cast("Callable[..., Any]", self.step.function.__get__(self.instance))

    @property
    def name(self) -> str:
        """The step's name."""
        return self.step.name

    def using(self, **changes: Any) -> Self:  # noqa: ANN401 - as Step.using
        """Give the same method under another policy."""
        plain = cast("Step[..., R_co]", self.step)
        return type(self)(plain.using(**changes), self.instance)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Call[R_co]:
        """Describe the method applied to arguments."""
        call = cast("Step[..., R_co]", self.step)(self.instance, *args, **kwargs)
        if call.status == "new":
            frame = _getframe(1)
            call.code, call.place = frame.f_code, frame.f_lasti
        return call

    def __repr__(self) -> str:
        """Name step and instance."""
        return f"<step {self.step.name} of {self.instance!r}>"


class BoundStreamStep(BoundStep[P, list[T]], Generic[P, T]):
    """A stream that is a method, and its instance."""

    __slots__ = ()

    if TYPE_CHECKING:

        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> StreamCall[T]:
            """Describe the stream of some arguments."""


class Decorator(Protocol):
    """What `step(...)` with arguments gives: still to be applied to a function."""

    @overload
    def __call__(self, function: Callable[P, AsyncIterator[T]], /) -> StreamStep[P, T]: ...
    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> Step[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> Step[P, R]: ...


@overload
def step(function: Callable[P, AsyncIterator[T]], /) -> StreamStep[P, T]: ...
@overload
def step(function: Callable[P, Coroutine[Any, Any, R]], /) -> Step[P, R]: ...
@overload
def step(function: Callable[P, R], /) -> Step[P, R]: ...
@overload
def step(
    *,
    name: str | None = None,
    timeout: float | Timeout | None = None,
    retry: Retry | None = None,
    hedge: Hedge | None = None,
    limit: str | None = None,
    breaker: Breaker | None = None,
    cache: Cache | None = None,
    effect: Effect = "read",
    keyed: bool = False,
    verify: Callable[..., object] | None = None,
    pool: str | None = None,
    key: Callable[..., object] | None = None,
    version: int | str = 1,
    role: str = "work",
    needs: Need | Callable[..., Need] | None = None,
    budget: Budget | None = None,
) -> Decorator: ...
def step(
    function: Callable[..., Any] | None = None, /, *, name: str | None = None, **policy: Any
) -> Any:
    """Make a step of a function: `@step`, `@step(timeout=...)`, or `step(f)` for one not yours.

    An `async def` runs on the loop, a plain `def` in a thread, or in the pool that `pool` names:
    "process" is for processor work. An async generator makes a stream. `timeout` bounds one
    attempt, in seconds from its admission; `Timeout(30.0, first=2.0, idle=1.0)` bounds a stream's
    waits for items too. `retry`, `hedge`, `breaker`, `cache` are policies; `limit` names what is
    shared with other steps. `effect="write"` says that it acts on the world; `keyed=True` that its
    target honours `current().idempotency_key`; `verify`, a function of the same arguments, finds
    out whether it has happened: it gives the write's result or raises `NotDone`. `key` gives what
    counts of the arguments for the call's identity; `version` belongs to it. `role` says what the
    call is for in reports. `needs` is what an attempt is expected to use of a limit's tokens,
    before that is known, and the most that it may use of a budget. `budget` bounds all calls below
    one call of the step together.
    """

    def wrap(function: Callable[..., Any]) -> Step[..., Any]:
        if isinstance(function, (Step, BoundStep)):
            msg = f"{function!r} is a step already: .using(...) changes its policy"
            raise TypeError(msg)
        if not callable(function):
            msg = f"a step is made of a function, got {function!r}"
            raise TypeError(msg)
        if inspect.isgeneratorfunction(function):
            msg = (
                f"a step returns one value, and {name_of(function)} is a generator: "
                "return list(...), or make it a stream with `async def` and yield"
            )
            raise TypeError(msg)
        given: object = name
        if given is not None and not (isinstance(given, str) and given):
            msg = f'name is a str that is not empty, such as name="search", got {name!r}'
            raise TypeError(msg)
        kind = StreamStep if gives_items(function) else Step
        return kind(function, name or name_of(function), Policy(**policy))

    return wrap if function is None else wrap(function)


def gives_items(function: Callable[..., Any]) -> bool:
    """Say whether a function makes a stream: an async generator, or a plain one typed as such."""
    inner = getattr(function, "__call__", None)  # noqa: B004 - an object may be called
    if inspect.isasyncgenfunction(function) or inspect.isasyncgenfunction(inner):
        return True
    if inspect.iscoroutinefunction(function):
        return False
    given = getattr(function, "__annotations__", {}).get("return")
    name = given if isinstance(given, str) else getattr(given, "__origin__", given)
    text = name if isinstance(name, str) else getattr(name, "__name__", "")
    return text.partition("[")[0].rpartition(".")[2] in {"AsyncIterator", "AsyncGenerator"}


def name_of(function: Callable[..., Any]) -> str:
    """Give a function's name: of a method with its class, never with the enclosing function."""
    inner = getattr(function, "func", function)  # functools.partial
    name = getattr(inner, "__qualname__", type(inner).__qualname__)
    return str(name).rsplit("<locals>.", 1)[-1]


def made_by(attribute: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Say of a method that gives calls which attribute of its object is the step behind it.

    Patterns that take a step then take the method: `fan_map(model.ask, questions, at_once=8)`.
    """

    def mark(method: Callable[P, R]) -> Callable[P, R]:
        setattr(method, MADE_BY, attribute)
        return method

    return mark


def made_by_caller(call: C) -> C:
    """Say of a call that a function makes and gives: it was made where that function was called.

    So the warning of one that is never awaited names a line of the user's.
    """
    if call.status == "new":
        frame = _getframe(2)
        call.code, call.place = frame.f_code, frame.f_lasti
    return call


def as_step(function: Callable[..., Any]) -> Step[..., Any] | BoundStep[..., Any]:
    """Give a step: itself, the one behind a method, or one without a policy around a function."""
    if isinstance(function, (Step, BoundStep)):
        return function
    behind = getattr(function, MADE_BY, None)
    owner = getattr(function, "__self__", None)
    if behind is not None and owner is not None:
        return cast("Step[..., Any]", getattr(owner, behind))
    made: Step[..., Any] = step(function)
    made.bare_function = True
    return made


def _identified(call: Call[R], here: Scope | Attempt) -> Call[R]:
    try:
        return identified(call, here)
    except Exception:
        excuse(call)
        raise


def _positional(function: Callable[..., Any]) -> tuple[str, ...]:
    code = getattr(function, "__code__", None)
    return () if code is None else code.co_varnames[: code.co_argcount]
