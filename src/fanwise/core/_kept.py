"""Runs that are kept in a journal, as a runtime sees them: loaded where there is a journal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from fanwise.core import _registry
from fanwise.core._watchers import excuse

if TYPE_CHECKING:
    from collections.abc import Callable

    from fanwise.core._call import Call
    from fanwise.core._protocols import Journal
    from fanwise.core._run import Run
    from fanwise.core._same_run import SameRun


def journal_of(given: Journal | str) -> Journal:
    """Look up an address, and load what runs need; raise ValueError for an unknown one."""
    _registry.load("journal", "run")  # here, not on the loop
    return cast("Journal", _registry.load("journal", given)) if isinstance(given, str) else given


def share_run(live: dict[str, SameRun], run: Run, call: Call[Any]) -> None:
    """Let whoever asks for the id of `run` find it among the live ones."""
    made = cast("type[SameRun]", _registry.load("journal", "shared"))
    try:
        live[run.id] = made(run, call)
    except Exception:
        excuse(call)
        run.close()
        raise


async def run_kept(run: Run, call: Call[Any]) -> Any:  # noqa: ANN401 - the call's value
    """Run `call` under its runtime's journal, and give its value when that is kept."""
    act = cast("Callable[..., Any]", _registry.load("journal", "run"))
    try:
        return await act(run.runtime.journal, run, call)
    finally:
        del run, call  # this frame stands in the traceback of their error
