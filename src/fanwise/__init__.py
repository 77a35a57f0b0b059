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
    Timeout,
    __version__,
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
    stage,
    tree_reduce,
)

__all__ = [
    "Breaker", "Call", "FanIn", "Hedge", "Limit", "NotEnough", "Outcome", "Retry", "Runtime",
    "Step", "Timeout", "__version__", "batch", "bind", "current", "deadline", "fan_map", "fan_out",
    "first", "pipeline", "run", "stage", "step", "tree_reduce",
]  # fmt: skip
