"""Pools: where plain functions run beside the loop. Anything else is an `Executor` of its own."""

from fanwise.pools._processes import ProcessPool, process_pool

__all__ = ["ProcessPool", "process_pool"]
