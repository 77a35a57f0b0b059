"""`current()`: what a step may ask and say about the call that it runs for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fanwise.core._identity import key_of
from fanwise.core._policies import whole
from fanwise.core._record import COUNTS, facts_of
from fanwise.core._run import generator_for
from fanwise.core._scope import AWAY, CURRENT, DEADLINE, Attempt
from fanwise.core._settlement import Reading, enter, has_told, learn, read_response

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from random import Random

    from fanwise.core._accounts import Left
    from fanwise.core._call import Call
    from fanwise.core._holds import Ahead
    from fanwise.core._protocols import Need
    from fanwise.core._quota import Reservation
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
    def budget(self) -> Left | None:
        """What is left of the budgets over this call, as tokens and dollars: the least of each.

        `None` where there is no budget. What others have reserved is not left, until it flows back.
        """
        spending = self._run.runtime.spending
        return None if spending is None else spending.left_of(self._call)

    @property
    def max_tokens(self) -> int | None:
        """The most tokens that this attempt may write, as it has reserved; `None`: no budget."""
        spending = self._run.runtime.spending
        if spending is None or not isinstance(self._here, Attempt):
            return None
        hold = spending.holds.get(self._here)
        return None if hold is None else hold.worst.most

    @property
    def idempotency_key(self) -> str:
        """The call's key, as 32 hexadecimal digits: the same for every attempt."""
        return key_of(self._call).hex()

    def usage(
        self,
        response: object = None,
        /,
        *,
        model: str | None = None,
        estimated: bool = False,
        tier: str | None = None,
        finish: str | None = None,
        **counts: int,
    ) -> None:
        """Add what one answer used: a response of an official client, or its counts, or both.

        `tokens_in` is all that was read, with `cached` and `written` (into the provider's cache;
        `written_hour` for an hour) in it; `tokens_out` all that was written, `said` the bytes of
        its text, from which estimates learn; `sent` and `shared` are tokens sent, and those of them
        that other calls sent too. `tier` is "batch" or another tier that has prices of its own;
        `finish` says why the answer ends: "stop", "length". What is read from a response, a name
        given beside it replaces.

        Raises TypeError for a response that no reader knows, for a count with another name, and
        for one that is no whole number; ValueError for one below 0. Then nothing is added.
        """
        unknown = counts.keys() - _NAMES
        if unknown:
            msg = f"usage({min(unknown)}=) is not known; there are: {', '.join(_NAMES)}"
            raise TypeError(msg)
        for name, count in counts.items():
            whole(f"usage({name}=)", count, 0)
        _check_texts(model=model, tier=tier, finish=finish)
        reading = Reading(model) if response is None else read_response(response)
        facts = self._facts()
        said = counts.pop("said", reading.said)
        sums = facts.setdefault("usage", {})
        for name, count in counts.items():
            sums[name] = sums.get(name, 0) + (0 if name in COUNTS else count)
        reading = reading._replace(
            model=reading.model if model is None else model,
            tier=reading.tier if tier is None else tier,
            finish=reading.finish if finish is None else finish,
            estimated=estimated or reading.estimated,
            said=said,
            **{name: count for name, count in counts.items() if name in COUNTS},
        )
        self._enter(facts, reading)

    def _enter(self, facts: dict[str, Any], reading: Reading) -> None:
        first = not has_told(facts, self.attempt)
        enter(facts, self.attempt, reading)
        if reading.model is None:
            return
        if first and reading.tokens_in and not reading.estimated:
            learn(self._call, self._here, reading)
        # Last: the thread that loads them takes turns with this one.
        self._run.runtime.expect_prices(reading.model)

    def _facts(self) -> dict[str, Any]:
        return facts_of(self._call)

    def rate_limits(self, headers: Mapping[str, str]) -> None:
        """Tell the step's limit what its provider has left, by the headers of a response.

        `headers` is any mapping of names to text, such as `response.headers` of httpx or requests.
        Of `x-ratelimit-remaining-*` and `anthropic-ratelimit-*-remaining` the limit learns that
        others use the quota too: it admits less, and never more than it is defined with. A step
        without a limit, or headers that say nothing, change nothing. The models of Fanwise do this
        themselves. May be called from the step's thread.

        Raises TypeError for what is no mapping.
        """
        if not hasattr(headers, "items"):
            msg = f"rate_limits(headers) is for the headers of a response, got {headers!r}"
            raise TypeError(msg)
        hear_headers(headers)

    def time(self) -> float:
        """Unix time in seconds, on the loop's clock: it moves with a virtual one.

        Under a journal every attempt, and every execution of the run, is told the same.
        """
        now = self._run.unix(self._run.time())
        journal = self._run.journal
        return now if journal is None else journal.time(self._call, self._uses("time"), now)

    def random(self) -> Random:
        """A generator seeded by the run's seed and this call's place: the same in every run."""
        return self._draw("user", self._uses("random"))

    def uuid(self) -> str:
        """A UUID (version 4, RFC 9562) from the run's seed and this call's place."""
        bits = self._draw("uuid", self._uses("uuid")).getrandbits(128) & ~(0xF << 76) | 0x4 << 76
        text = f"{bits & ~(0x3 << 62) | 0x2 << 62:032x}"
        return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))

    def _draw(self, purpose: str, number: int) -> Random:
        if self._run.journal is not None:  # every attempt may be the one that goes on
            return generator_for(f"{self._run.seed}:{key_of(self._call).hex()}:{purpose}{number}")
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


_NAMES = dict.fromkeys([*COUNTS, "said", "sent", "shared"])


def _check_texts(**texts: object) -> None:
    for name, text in texts.items():
        if text is not None and not isinstance(text, str):
            msg = f"usage({name}=) is a str, got {text!r}"
            raise TypeError(msg)


def hear_headers(headers: Mapping[str, str]) -> None:
    """Let the limit under which this runs hear what a response says; nothing without a limit."""
    here = CURRENT.get()
    while here is not None:
        if isinstance(here, Attempt):
            reservation: Reservation | None = getattr(here, "reservation", None)
            if reservation is not None:
                reservation.quota.hear(reservation, headers)
                return
            here = here.scope
        here = here.parent


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


async def reserve_again(need: Need) -> None:
    """Settle what the running attempt has used until now, and reserve what it needs to go on.

    For an attempt that asks several times, one after the other. Without a budget it does nothing.
    Raises as the reservation of an attempt does; then the attempt has to end.
    """
    here = CURRENT.get()
    if isinstance(here, Attempt) and here.run.runtime.spending is not None:
        await here.run.runtime.spending.again(here, need)


async def reserve_ahead(needs: Sequence[Need], tier: str | None = None) -> Ahead | None:
    """Reserve for several requests that the running call makes at once, at the prices of a tier.

    `None` where it is under no budget. Raises as the reservation of an attempt does.
    """
    here = CURRENT.get()
    call = None if here is None else here.call
    spending = None if call is None else call.run.runtime.spending
    if call is None or spending is None:
        return None
    return await spending.ahead(call, needs, tier)
