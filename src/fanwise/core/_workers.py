"""What the engine asks of a pool whose workers can be killed.

For type checkers alone: nothing imports this while it runs, since a protocol costs a tenth of a
millisecond of every `import fanwise`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from concurrent.futures import Future

    from fanwise.core._away import Facts, Job


class Worker(Protocol):
    """One worker of a pool, lent to one attempt."""

    def run(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        facts: Facts | None,
    ) -> Job:
        """Start `function` in it."""

    def kill(self) -> None:
        """End it at once; the job that it runs ends when it is really dead."""


class Workers(Protocol):
    """An executor whose workers can be lent and killed; any other `Executor` does without."""

    @property
    def at_once(self) -> int:
        """How many workers there are at most."""

    def lend_nowait(self, function: Callable[..., Any]) -> Worker | None:
        """Give an idle worker that has the module of `function`, if there is one."""

    def lend(self, function: Callable[..., Any]) -> Future[Worker]:
        """Give a worker that has started and has the module of `function`, in order of asking.

        Cancelled, the future leaves the line.
        """

    def take_back(self, worker: Any) -> None:  # noqa: ANN401 - one of its own
        """Take a worker back; a dead one is replaced when it is needed."""

    def close(self) -> None:
        """End the workers, within a bound; blocks."""
