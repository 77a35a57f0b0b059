"""How a law is tried: on random programs, and on engines that break it.

A law is a plain function over what Hypothesis draws. `holds` runs it; `rejects` runs it under a
mutant, an engine with one function replaced, and demands that it fails.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from fanwise.core import FanwiseError, Runtime
from fanwise.testing import Deadlock, OrphansLeft, no_orphans, run_virtual

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

BROKEN = (AssertionError, Deadlock, OrphansLeft)
ORDERS = st.sampled_from(["fifo", "shuffled"])
EXAMPLES = 50


def ticks(least: int = 0, most: int = 8) -> st.SearchStrategy[float]:
    """Draw seconds on a grid of a quarter, so that several things share an instant."""
    return st.integers(least, most).map(lambda n: n / 4)


def holds(law: Callable[..., None], *drawn: Any, examples: int = EXAMPLES, **named: Any) -> None:
    """Try the law on so many programs."""
    _trial(law, drawn, named, examples, (Phase.generate, Phase.shrink))


def rejects(
    law: Callable[..., None],
    *drawn: Any,
    mutant: Any,
    examples: int = 300,
    broken: Any = BROKEN,
    **named: Any,
) -> None:
    """Demand that the law fails under a mutant."""
    with mutant, pytest.raises(broken):
        _trial(law, drawn, named, examples, (Phase.generate,))


def _trial(law: Any, drawn: Any, named: Any, examples: int, phases: Any) -> None:
    how = settings(
        max_examples=examples,
        phases=phases,
        derandomize=True,
        database=None,
        deadline=None,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )

    how(given(*drawn, **named)(law))()


@contextmanager
def changed(*changes: tuple[Any, str, Any]) -> Iterator[None]:
    """A mutant: attributes of the engine's classes, replaced for a while."""
    with pytest.MonkeyPatch.context() as patch:
        for owner, name, new in changes:
            patch.setattr(owner, name, new)
        yield


@contextmanager
def replaced(original: Any, new: Any) -> Iterator[None]:
    """A mutant: a function of the engine, replaced under every name that it was imported as."""
    with pytest.MonkeyPatch.context() as patch:
        found = False
        for name, module in list(sys.modules.items()):
            if name.startswith("fanwise."):
                for key, value in list(vars(module).items()):
                    if value is original:
                        patch.setattr(module, key, new)
                        found = True
        assert found, f"{original!r} is nowhere: the mutant would change nothing"
        yield


@contextmanager
def all_of(*mutants: Any) -> Iterator[None]:
    """Several changes that make one mutant."""
    with ExitStack() as stack:
        for it in mutants:
            stack.enter_context(it)
        yield


def virtually(
    body: Callable[[Runtime], Coroutine[Any, Any, Any]],
    *,
    order: Any = "fifo",
    start: float = 0.0,
    **options: Any,
) -> Any:
    """Run `body(runtime)` on the virtual clock, and see that nothing is left behind."""

    async def main() -> Any:
        async with no_orphans(), Runtime(**{"seed": 1, **options}) as runtime:
            return await body(runtime)

    return run_virtual(main(), order=order, start=start, horizon=10_000)


async def outcome_of(awaitable: Any) -> Any:
    """Give the value, or the failure as a value."""
    try:
        return await awaitable
    except (FanwiseError, OSError, ValueError) as error:
        return error


def now() -> float:
    """Give the loop's time."""
    return asyncio.get_running_loop().time()


async def cancelled(task: asyncio.Task[Any]) -> None:
    """Await the end of a task, whatever it is."""
    await asyncio.wait([task])
    if not task.cancelled():
        task.exception()
