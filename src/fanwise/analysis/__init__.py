"""Figures from the record of a run: what set its finish time, what it spent, what it shows."""

from fanwise.analysis._blame import Blame, blame
from fanwise.analysis._cascading_failures import cascading_failures
from fanwise.analysis._critical_path import CriticalPath, Segment, critical_path
from fanwise.analysis._fan_ins import FanInTimes, fan_ins
from fanwise.analysis._finding import Finding
from fanwise.analysis._findings import findings
from fanwise.analysis._finish import finish
from fanwise.analysis._graph import UNFINISHED
from fanwise.analysis._head_of_line import head_of_line_blocking
from fanwise.analysis._lookout import Going, Gone, Look, Lookout, StepCount
from fanwise.analysis._money import CUT, Money, dollars
from fanwise.analysis._outline import Fold, Line, Outline
from fanwise.analysis._parts import Part, time_text
from fanwise.analysis._rate_limit_cascades import rate_limit_cascades
from fanwise.analysis._report import Report, report
from fanwise.analysis._slack import slack
from fanwise.analysis._spans import Span
from fanwise.analysis._summary import Summary, summary
from fanwise.analysis._synchronised_retries import synchronised_retries
from fanwise.analysis._tax import Tax, tax
from fanwise.analysis._waste import Loss, Waste, waste

__all__ = [
    "CUT", "UNFINISHED", "Blame", "CriticalPath", "FanInTimes", "Finding", "Fold", "Going", "Gone",
    "Line", "Look", "Lookout", "Loss", "Money", "Outline", "Part", "Report", "Segment", "Span",
    "StepCount", "Summary", "Tax", "Waste", "blame", "cascading_failures", "critical_path",
    "dollars", "fan_ins", "findings", "finish", "head_of_line_blocking", "rate_limit_cascades",
    "report", "slack", "summary", "synchronised_retries", "tax", "time_text", "waste",
]  # fmt: skip
