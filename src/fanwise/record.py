"""The record of runs: where it is written, and what reading it gives (format 1, docs/record.md)."""

from fanwise.core import AttemptRow, CallRow, Header, LimitEvent, Record, RunRecord
from fanwise.core._lines import line_of, read_records

__all__ = [
    "AttemptRow", "CallRow", "Header", "LimitEvent", "Record", "RunRecord", "line_of",
    "read_records",
]  # fmt: skip
