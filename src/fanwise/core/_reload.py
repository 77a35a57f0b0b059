"""Other limits while calls wait and hold: taken all at once, or none of them.

Problem: limits are changed while a service runs, by hand and in haste. A mistake must leave what
was there, and a change must not open a window in which more passes than either limit allows.
Method: every limit in use says first whether it can become the new one, and only then do all of
them. What is spent of a bucket stays spent of the new one; what is in flight keeps its place or its
slot; a width that is narrowed takes slots back as they return; who waits is judged anew.
Rejected: new buckets, full (all of a burst once more at every change); new limits beside the old
ones, which end with their last call (both widths together).
"""

from __future__ import annotations

import asyncio
import logging
import os
import tomllib
from math import inf
from typing import TYPE_CHECKING, Any

from fanwise.core._errors import LimitUnknown
from fanwise.core._limits import Width
from fanwise.core._policies import Limit
from fanwise.core._shared import check_limits

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fanwise.core._runtime import Runtime

log = logging.getLogger("fanwise")
EVERY = 1.0  # seconds between two looks at a file
TABLE = "limits"
EXAMPLE = '[limits."openai:*"] and below it at_once = 8 or requests_per_minute = 500'


def change_limits(runtime: Runtime, limits: Mapping[str, Limit]) -> None:
    """Define these limits from now on, or raise and change nothing."""
    check_limits(limits)
    before = runtime.definitions
    runtime.definitions = limits
    try:
        changes = [_change_of(runtime, width) for width in runtime.widths.values()]
    except Exception:
        runtime.definitions = before
        raise
    for change in changes:
        change()
    runtime.outfits.clear()  # they know which limits their calls hold


def _change_of(runtime: Runtime, width: Width) -> Callable[[], None]:
    """Give what makes a limit in use the one that is defined for its name."""
    limit = runtime.definition(width.name)
    between = (call for call in runtime.backing_off if call.policy.limit == width.name)
    used = width.used or width.waiting or next(between, None)
    if type(width) is Width and not limit.is_width and not used:

        def forget() -> None:
            del runtime.widths[width.name]  # it is made anew when a call asks for it

        return forget
    become = width.changed_to(limit)

    def change() -> None:
        before = width.full
        become()
        if width.full != before:
            slots = inf if width.full is None else width.full
            runtime.tell_limit("width", width.name, slots, None)

    return change


class LimitsFile:
    """Limits in a file that may be read again: in TOML, a table `[limits.NAME]` for each.

    `beside` are limits that stand in no file; where the file has one of the same name, that goes
    first.
    """

    def __init__(
        self, path: str | os.PathLike[str], beside: Mapping[str, Limit] | None = None
    ) -> None:
        """Name a file; nothing is read yet."""
        self.path = os.fspath(path)
        self._beside = {} if beside is None else dict(beside)
        self._version: tuple[int, ...] | None = None

    def read(self) -> dict[str, Limit]:
        """Give the limits that stand there now; blocks. Raises OSError and ValueError."""
        self._version = version_of(self.path)
        with open(self.path, "rb") as file:
            text = file.read()
        try:
            limits = limits_of(tomllib.loads(text.decode("utf-8")))
        except ValueError as error:
            msg = f"{self.path}: {error}"
            raise ValueError(msg) from None
        return limits | {name: each for name, each in self._beside.items() if name not in limits}

    def has_changed(self) -> bool:
        """Say whether there is another version than was read last; one that is gone is none."""
        try:
            return version_of(self.path) != self._version
        except OSError:
            return False

    async def follow(self, runtime: Runtime) -> None:
        """Take what stands there whenever it has changed; a mistake is said once."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(EVERY)
            if not await loop.run_in_executor(None, self.has_changed):
                continue
            try:
                change_limits(runtime, await loop.run_in_executor(None, self.read))
            except (OSError, ValueError, LimitUnknown) as error:
                log.error("the limits stay as they were: %s", error)  # noqa: TRY400 - no traceback
            else:
                log.info("limits are read again: %s", self.path)

    def __repr__(self) -> str:
        """Name the file."""
        return f"LimitsFile({self.path!r})"


def version_of(path: str) -> tuple[int, ...]:
    """Give what changes when a file does."""
    about = os.stat(path)
    return about.st_mtime_ns, about.st_size, about.st_ino


def limits_of(found: Mapping[str, Any]) -> dict[str, Limit]:
    """Read limits from a document's tables; raise ValueError, naming what cannot be meant."""
    tables = found.get(TABLE)
    if not isinstance(tables, dict):
        msg = f"there is no table [{TABLE}]: write {EXAMPLE}"
        raise ValueError(msg)  # noqa: TRY004 - what is wrong is the file's text
    return {name: _limit(name, given) for name, given in tables.items()}


def _limit(name: str, given: object) -> Limit:
    if not isinstance(given, dict):
        msg = f"[{TABLE}] {name} = {given!r} is no table: write {EXAMPLE}"
        raise ValueError(msg)  # noqa: TRY004 - as above
    try:
        return Limit(**given)
    except (TypeError, ValueError) as error:
        msg = f"[{TABLE}.{name}]: {error}"
        raise ValueError(msg) from None


def limits_file(_address: str) -> type[LimitsFile]:
    """Give the class, for the registry: most runtimes have their limits in the program."""
    return LimitsFile


def limits_change(_address: str) -> Callable[[Runtime, Mapping[str, Limit]], None]:
    """Give `change_limits`, for the registry."""
    return change_limits
