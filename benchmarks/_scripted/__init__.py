"""Scripted runs that have a failure mode and runs that look alike and have it not, each seeded.

They run on the engine itself, in virtual time, against fault scripts and the provider twin.
"""

from benchmarks._scripted._cascades import FALLING, STANDING
from benchmarks._scripted._herds import SPREAD, TOGETHER
from benchmarks._scripted._lines import BEHIND, IN_TURN
from benchmarks._scripted._run import Runs, made
from benchmarks._scripted._twins import HEEDED, REFUSED

__all__ = [
    "BEHIND", "FALLING", "HEEDED", "IN_TURN", "REFUSED", "SPREAD", "STANDING", "TOGETHER", "Runs",
    "made",
]  # fmt: skip
