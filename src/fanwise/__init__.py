"""Fanwise: run the independent parts of agents, retrieval and document jobs at the same time."""

from fanwise.core import (
    Breaker,
    Call,
    FanIn,
    Hedge,
    Limit,
    NotEnough,
    Outcome,
    Retry,
    Runtime,
    Step,
    __version__,
    current,
    deadline,
    run,
    step,
)
from fanwise.patterns import bind, fan_map, fan_out, first, speculate, tree_reduce, vote

__all__ = [
    "Breaker", "Call", "FanIn", "Hedge", "Limit", "NotEnough", "Outcome", "Retry", "Runtime",
    "Step", "__version__", "bind", "current", "deadline", "fan_map", "fan_out", "first", "run",
    "speculate", "step", "tree_reduce", "vote",
]  # fmt: skip
