"""Fanwise: run the independent parts of agents, retrieval and document jobs at the same time.

The engine is imported when one of its names is first asked for: `fanwise --help` does without.
"""

from typing import TYPE_CHECKING

from fanwise._version import __version__

if TYPE_CHECKING:
    from fanwise.core import (
        Breaker,
        Budget,
        Cache,
        Call,
        FanIn,
        Hedge,
        Limit,
        NotEnough,
        Outcome,
        Retry,
        Runtime,
        Step,
        Timeout,
        current,
        deadline,
        run,
        step,
    )
    from fanwise.patterns import (
        batch,
        bind,
        fan_map,
        fan_out,
        first,
        pipeline,
        speculate,
        stage,
        tree_reduce,
        vote,
    )

__all__ = [
    "Breaker", "Budget", "Cache", "Call", "FanIn", "Hedge", "Limit", "NotEnough", "Outcome",
    "Retry", "Runtime", "Step", "Timeout", "__version__", "batch", "bind", "current", "deadline",
    "fan_map", "fan_out", "first", "pipeline", "run", "speculate", "stage", "step", "tree_reduce",
    "vote",
]  # fmt: skip


_PATTERNS = frozenset(
    {"batch", "bind", "fan_map", "fan_out", "first", "pipeline", "speculate", "stage",
     "tree_reduce", "vote"}
)  # fmt: skip


def __getattr__(name: str) -> object:
    """Import the engine, or the patterns, and take the names of `__all__` from there, at once."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name in _PATTERNS:
        from fanwise import patterns  # noqa: PLC0415 - see above: what `--help` saves

        there = vars(patterns)
    else:
        from fanwise import core  # noqa: PLC0415 - as above

        there = vars(core)
    names = [each for each in __all__ if (each in _PATTERNS) == (name in _PATTERNS)]
    globals().update({each: there[each] for each in names})
    found: object = there[name]
    return found


def __dir__() -> list[str]:
    """Give the names of the root, imported or not."""
    return sorted({*globals(), *__all__})
