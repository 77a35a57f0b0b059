"""What a pattern takes for a branch: calls, and plain awaitables on the way in."""

from __future__ import annotations

import inspect
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from fanwise.core import CALL_TYPES, Call, Policy, Step, excuse

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

PLAIN = Policy()


def as_calls(branches: Sequence[Any], pattern: str) -> tuple[Call[Any], ...]:
    """Give a call for each branch; raise for what is none, and where the same stands twice."""
    if len({*map(id, branches)}) == len(branches) and CALL_TYPES.issuperset(map(type, branches)):
        return tuple(branches)
    try:
        refuse_twice(branches, pattern)
        return tuple([as_call(branch, pattern) for branch in branches])
    except (TypeError, ValueError):
        for branch in branches:
            for each in branch if isinstance(branch, (list, tuple)) else (branch,):
                if isinstance(each, Call):
                    excuse(each)
                elif inspect.iscoroutine(each):
                    each.close()
        raise


def as_call(branch: Call[Any] | Awaitable[Any], argument: str) -> Call[Any]:
    """Give a call: itself, or one that awaits a plain awaitable."""
    if isinstance(branch, Call):
        return branch
    if inspect.isawaitable(branch):
        name = getattr(branch, "__qualname__", type(branch).__name__)
        plain: Step[..., Any] = Step(_await, str(name).rsplit("<locals>.", 1)[-1], PLAIN)
        plain.owns_arguments = True
        return Call(plain, (branch,), {})
    cure = ""
    if callable(branch):
        cure = ": call it first, such as fan_out(web(query), database(query))"
    elif isinstance(branch, (list, tuple)):
        cure = ": unpack it, such as fan_out(*calls)"
    msg = f"{argument} takes calls or awaitables, got {branch!r}{cure}"
    raise TypeError(msg)


async def _await(awaitable: Awaitable[Any]) -> Any:  # noqa: ANN401 - the value of anything
    return await awaitable


def refuse_twice(calls: Sequence[Any], pattern: str) -> None:
    """Raise where the same call stands twice."""
    seen: dict[int, int] = {}
    for index, call in enumerate(calls):
        before = seen.setdefault(id(call), index)
        if before != index:
            name = call.name if isinstance(call, Call) else repr(call)
            msg = (
                f"{pattern} got the same call of {name} as branches {before + 1} and "
                f"{index + 1}: a call runs once; make a second call for a second run"
            )
            raise ValueError(msg)


@contextmanager
def excused_on_error(calls: Sequence[Call[Any]]) -> Iterator[None]:
    """Excuse calls whose pattern is refused: one mistake is reported once."""
    try:
        yield
    except Exception:
        for call in calls:
            excuse(call)
        raise


def planned(call: Call[Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Give a pattern's schedule: as written, under what the runtime's plan overrides."""
    plan = call.run.runtime.plan
    if plan is None:
        return dict(given)
    found = call.run.runtime.schedule_of(call.plan_name)
    return {**given, **{name: value for name, value in found.items() if name in given}}


def pattern_step(body: Callable[..., Any], name: str) -> Step[..., Any]:
    """Give the step whose calls a pattern returns."""
    return Step(body, name, PLAIN, pattern=name)
