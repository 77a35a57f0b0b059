"""What a benchmark may claim: afterwards every call stands in the record."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fanwise.core import Run, RunRecord


class RecordIncomplete(AssertionError):
    """A call that was measured is not in the record, or not whole."""


def check_run(run: Run, calls: dict[str, int]) -> None:
    """Read the record of `run`; raise where it does not hold `calls`, as many of each step."""
    if not run.over:
        raise RecordIncomplete(f"{run!r} is not over")
    check_record(run.record(), calls)


def check_record(record: RunRecord, calls: dict[str, int]) -> None:
    """Raise where a call is missing, twice, or without start, end, parent or success."""
    found = Counter(row.step for row in record.calls)
    for step, count in calls.items():
        if found[step] != count:
            raise RecordIncomplete(f"{count} calls of {step} ran, the record has {found[step]}")
    ids = {row.call for row in record.calls}
    if len(ids) != len(record.calls):
        raise RecordIncomplete(f"{len(record.calls) - len(ids)} rows stand twice")
    main = [row.call for row in record.calls if row.parent is None]
    if len(main) != 1:
        raise RecordIncomplete(f"one call has no parent, the run's own; found {len(main)}")
    for row in record.calls:
        whole = 0 <= row.start <= row.end and row.status == "ok" and row.attempts == 1
        if not whole or (row.call != main[0] and row.parent not in ids):
            raise RecordIncomplete(f"not whole: {row}")
