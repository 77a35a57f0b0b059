"""Fault scripts: what goes wrong in a test, by the name of the step."""

from fanwise.testing.faults._kinds import (
    Refused,
    deaf,
    fails,
    gives,
    hangs,
    loses_reply,
    refuses,
    slow,
)
from fanwise.testing.faults._script import FaultsUnused, Happened, Script
from fanwise.testing.faults._values import Choice, Fault

__all__ = [
    "Choice",
    "Fault",
    "FaultsUnused",
    "Happened",
    "Refused",
    "Script",
    "deaf",
    "fails",
    "gives",
    "hangs",
    "loses_reply",
    "refuses",
    "slow",
]
