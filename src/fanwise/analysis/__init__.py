"""Figures from the record of a run: what set its finish time, what it spent, what it shows."""

from fanwise.analysis._critical_path import CriticalPath, Segment, critical_path
from fanwise.analysis._lookout import Going, Gone, Look, Lookout, StepCount
from fanwise.analysis._parts import Part
from fanwise.analysis._summary import Summary, summary

__all__ = [
    "CriticalPath", "Going", "Gone", "Look", "Lookout", "Part", "Segment", "StepCount", "Summary",
    "critical_path", "summary",
]  # fmt: skip
