"""`current()`: what a step may ask and say about the call that it runs for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fanwise.core._identity import key_of
from fanwise.core._scope import AWAY, CURRENT, DEADLINE, Attempt

if TYPE_CHECKING:
    from random import Random

    from fanwise.core._call import Call
    from fanwise.core._run import Run
    from fanwise.core._scope import Scope


class Current:
    """The running call, seen from inside its step."""

    __slots__ = ("_call", "_here")

    def __init__(self, here: Scope | Attempt, call: Call[Any]) -> None:
        """See `call` from the attempt `here`."""
        self._here = here
        self._call = call

    @property
    def _run(self) -> Run:
        return self._call.run

    @property
    def run_id(self) -> str:
        """The id of the run."""
        return self._run.id

    @property
    def attempt(self) -> int:
        """The number of this attempt, from 1; hedges count."""
        return self._here.number if isinstance(self._here, Attempt) else 1

    @property
    def deadline_left(self) -> float | None:
        """Seconds until the nearest deadline or timeout; `None` where there is none."""
        until = DEADLINE.get()
        return None if until is None else max(0.0, until - self._run.time())

    @property
    def idempotency_key(self) -> str:
        """The call's key, as 32 hexadecimal digits: the same for every attempt."""
        return key_of(self._call).hex()

    def usage(self, *, model: str | None = None, estimated: bool = False, **counts: int) -> None:
        """Add what this call used: `tokens_in`, `tokens_out`, `cached`, `sent`, `shared`."""
        unknown = counts.keys() - _COUNTS
        if unknown:
            msg = f"usage({min(unknown)}=) is not known; there are: {', '.join(_COUNTS)}"
            raise TypeError(msg)
        facts = self._facts()
        usage = facts.setdefault("usage", {})
        for name, count in counts.items():
            usage[name] = usage.get(name, 0) + count
        if model is not None:
            facts["model"] = model
        if estimated:
            facts["estimated"] = True

    def _facts(self) -> dict[str, Any]:
        if self._call.facts is None:
            self._call.facts = {}
        return self._call.facts

    def time(self) -> float:
        """Unix time in seconds, on the loop's clock: it moves with a virtual one."""
        run = self._run
        return run.anchor / 1e9 + (run.time() - run.epoch)

    def random(self) -> Random:
        """A generator seeded by the run's seed and this call's place: the same in every run."""
        return self._draw("user", self._uses("random"))

    def uuid(self) -> str:
        """A UUID (version 4, RFC 9562) from the run's seed and this call's place."""
        bits = self._draw("uuid", self._uses("uuid")).getrandbits(128) & ~(0xF << 76) | 0x4 << 76
        text = f"{bits & ~(0x3 << 62) | 0x2 << 62:032x}"
        return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))

    def _draw(self, purpose: str, number: int) -> Random:
        return self._run.random(self._here, f"{purpose}{number}")

    def _uses(self, kind: str) -> int:
        here = self._here
        if here.counts is None:
            here.counts = {}
        key = (kind,)
        here.counts[key] = number = here.counts.get(key, 0) + 1
        return number

    def __repr__(self) -> str:
        """Name call and attempt."""
        return f"<current {self._call.name}, attempt {self.attempt}>"


_COUNTS = {"tokens_in": 0, "tokens_out": 0, "cached": 0, "sent": 0, "shared": 0}


def current() -> Current:
    """Give the call in whose step this runs; raise `RuntimeError` outside any."""
    here = CURRENT.get()
    call = None if here is None else here.call
    if here is None or call is None:
        away = AWAY.get()
        if away is not None:
            return away
        msg = "current() is for the inside of a step, and no call runs here"
        raise RuntimeError(msg)
    return Current(here, call)
