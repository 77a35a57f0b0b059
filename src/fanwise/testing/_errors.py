"""What the virtual clock and the orphan check raise.

RuntimeError
├── Deadlock        nothing can happen any more, and the program is not done
├── HorizonPassed   the next thing to happen lies beyond the horizon
└── LoopStuck       neither time nor input moved for some real seconds
AssertionError
└── OrphansLeft     something outlived the block that made it
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fanwise.testing._orphans import Orphan


class Deadlock(RuntimeError):
    """Nothing is ready, no timer is set, no input can come; the text lists each pending task."""


class HorizonPassed(RuntimeError):
    """The next timer lies beyond the loop's `horizon`: most often a task that repeats for ever."""


class LoopStuck(RuntimeError):
    """For `watchdog` real seconds neither the virtual time nor any real input moved."""

    def __init__(
        self, story: str = "the virtual loop made no progress; this is where it was"
    ) -> None:
        # With a default: another thread can raise a class here, but no instance with a story.
        super().__init__(story)


class OrphansLeft(AssertionError):
    """Something outlived the block that made it.

    `orphans` holds one `Orphan` for each thing left, in the order of the report.
    """

    orphans: tuple[Orphan, ...]

    def __init__(self, orphans: Iterable[Orphan]) -> None:
        self.orphans = tuple(orphans)
        lines = "".join(f"\n  - {orphan}" for orphan in self.orphans)
        super().__init__(f"{len(self.orphans)} left over:{lines}")
