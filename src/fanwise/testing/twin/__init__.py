"""The provider twin: a server that speaks OpenAI's and Anthropic's wires, for tests and load."""

from fanwise.testing.twin._answers import Calls, Choose, Quoting, Script
from fanwise.testing.twin._batches import BatchPace
from fanwise.testing.twin._engine import Twin
from fanwise.testing.twin._fault import Fault
from fanwise.testing.twin._law import Law
from fanwise.testing.twin._ledger import Entry, Ledger, Price, Statistics
from fanwise.testing.twin._quota import Quota
from fanwise.testing.twin._values import Ask, Counts, Part, Saying, Tool, ToolUse

__all__ = [
    "Ask",
    "BatchPace",
    "Calls",
    "Choose",
    "Counts",
    "Entry",
    "Fault",
    "Law",
    "Ledger",
    "Part",
    "Price",
    "Quota",
    "Quoting",
    "Saying",
    "Script",
    "Statistics",
    "Tool",
    "ToolUse",
    "Twin",
]
