"""Testing programs that wait: a virtual clock, and a check that nothing is left behind."""

from fanwise.testing._clock import Order, VirtualLoop, run_virtual
from fanwise.testing._errors import Deadlock, HorizonPassed, LoopStuck, OrphansLeft
from fanwise.testing._orphans import (
    Kind,
    Living,
    Orphan,
    OrphanCheck,
    assert_no_orphans,
    find_orphans,
    living,
    no_orphans,
)

__all__ = [
    "Deadlock",
    "HorizonPassed",
    "Kind",
    "Living",
    "LoopStuck",
    "Order",
    "Orphan",
    "OrphanCheck",
    "OrphansLeft",
    "VirtualLoop",
    "assert_no_orphans",
    "find_orphans",
    "living",
    "no_orphans",
    "run_virtual",
]
