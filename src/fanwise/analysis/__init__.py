"""Figures from the record of a run: what set its finish time, and what it spent."""

from fanwise.analysis._critical_path import CriticalPath, Segment, critical_path
from fanwise.analysis._parts import Part
from fanwise.analysis._slack import slack
from fanwise.analysis._summary import Summary, summary

__all__ = ["CriticalPath", "Part", "Segment", "Summary", "critical_path", "slack", "summary"]
