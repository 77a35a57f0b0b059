"""What stands between an attempt and the quota of its limit: amounts, gates, and where they are.

A module of its own, since most programs have no rates: `fanwise.core` does not load it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fanwise.core._policies import Limit


class Amount(NamedTuple):
    """What an attempt takes of a limit's rates; all tokens are those read and those written."""

    requests: int = 1
    tokens_in: int = 0
    tokens_out: int = 0


class Remaining(NamedTuple):
    """What an answer says that its provider still has for us; `None` where it says nothing."""

    requests: int | None = None
    tokens: int | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None


class GateStatistics(NamedTuple):
    """A gate at one instant: slots taken, what it gave and took back so far, and what is free.

    `admitted` counts reservations, `reserved` their tokens, `used` the tokens of settled ones,
    `refunded` what came back of them. `room` maps each rate to the share of its bucket that could
    be taken now (below 0: a debt). `corrections` counts the answers whose provider had less left
    than was known here.
    """

    in_flight: int
    admitted: int
    reserved: int
    used: int
    refunded: int
    room: Mapping[str, float]
    corrections: int = 0


class Gate(Protocol):
    """The quota of one limit, its width and all its rates decided at once; here or on a server.

    The line before it (`fanwise.core._queues`) asks for its head only, one at a time, and makes the
    numbers of reservations, so that a question may be sent again. Nothing is held by one who is
    told to wait.
    """

    def admit_nowait(self, number: int, amount: Amount, /) -> float | None:
        """Take a slot and `amount` and give 0.0, or take nothing and say when to ask again.

        In seconds from now, `inf` for "when `wake` was called"; `None` where only `admit` can say.
        """

    async def admit(self, number: int, amount: Amount, /) -> float:
        """Do as `admit_nowait`, at whoever knows; cancelled, it takes nothing."""

    def forgo(self) -> None:
        """Take note that nobody waits here any more, lest others wait behind."""

    def has_room(self, amount: Amount, /) -> bool:
        """Say whether `admit_nowait` would admit, as far as is known here; takes nothing."""

    def least_wait(self, amount: Amount, /) -> float:
        """Give the seconds in which so much comes free (a sum of several amounts).

        As far as can be told from how much of what was reserved came back until now; 0 where it is
        not known.
        """

    def settle(self, number: int, used: Amount, /) -> None:
        """Correct what a reservation took by what was used, at once or soon; at most once each.

        A reservation that is never settled counts as used; one of which not even a request was used
        is withdrawn. Does not wait.
        """

    def release(self, number: int, /) -> None:
        """Give the slot of a reservation back; at most once each. Does not wait."""

    def pause(self, seconds: float, /) -> None:
        """Admit nothing for so many seconds from now, here or anywhere; a longer pause stays.

        The provider said "too many". Does not wait. While it lasts `admit_nowait` tells the rest of
        it, `has_room` is False and `least_wait` is at least that; who has been admitted goes on.
        """

    def paused(self) -> float:
        """Give the seconds that are left of a pause, as far as is known here; 0.0 without one."""

    def correct(self, number: int, left: Remaining, /) -> None:
        """Take what the answer to a reservation said is left, where less is than is known here.

        Of what is left the provider has yet to take what is in flight and counts at its end. The
        answer may have been made at any instant since the reservation was admitted, and others may
        have come before it: it never lets anybody in, and of two that say the same of one
        shortage, only one counts. That of an unknown or settled reservation changes nothing. Does
        not wait.
        """

    def changed_to(self, limit: Limit, /) -> Callable[[], None]:
        """Give what makes this the gate of another limit, once it is called.

        What was admitted stays admitted and is settled as before; no window sees more than the
        larger of both limits allows. Raises ValueError, and changes nothing, where it cannot count
        by that limit.
        """

    def wake_with(self, wake: Callable[[], None], /) -> None:
        """Take what is to be called, in the loop, when asking again may have another answer."""

    def statistics(self) -> GateStatistics:
        """Give the gate's counters, as far as they are known here."""


class Gates(Protocol):
    """Where the gates of a runtime come from, when limits are shared beyond the process."""

    def gate(self, name: str, limit: Limit, /) -> Gate:
        """Give the gate of a limit; asked once a runtime and name."""

    async def aclose(self) -> None:
        """Let go of everything, when the runtime closes."""
