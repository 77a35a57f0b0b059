"""Settlement: what an attempt used, told by its step or read from the response that it gives.

Problem: people return responses of the clients that they have, and want usage and cost of each call
without a word; most calls return something else, and must not pay for the question.
Method: one look at a set of classes that say nothing of usage. A class that is not in it is looked
at once: the first of its bases whose package stands in the registry names the reader, which is
loaded then (by shape: it imports none of those packages). Rejected: to search lists and dicts for
responses (the cost of a call would depend on what it gives), and to patch the clients.

A response object counts once: a step that hands on what another step returned used nothing itself.
"""

from __future__ import annotations

import logging
import sys
from asyncio import CancelledError
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from weakref import WeakValueDictionary

from fanwise.core import _registry
from fanwise.core._errors import FanwiseError, NotDone, StepTimedOut
from fanwise.core._record import COUNTS, facts_of
from fanwise.core._scope import Attempt
from fanwise.core._transient import http_status, is_transient

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Protocol

    from fanwise.core._call import Call
    from fanwise.core._scope import Scope

log = logging.getLogger("fanwise")

MOST = 64  # answers of one call that are priced one by one; the rest is added to the last alike
MOST_CLASSES = 4096
CUT = "cut"
TOO_LATE = 408  # the one refusal of a request that may have been worked on
DEEPEST = 10  # causes of an error that are looked at
UNSENT = frozenset(  # of errors that come before anything was sent, in several client libraries
    {"ClientConnectorError", "ConnectError", "ConnectTimeout", "ConnectionRefusedError",
     "PoolTimeout", "gaierror"}
)  # fmt: skip
CLIENTS = ("anthropic", "langchain_core", "litellm", "openai")

# Attempt, model, tier, estimated, and the counts: atoms, as everything in a row.
Told = tuple[int, "str | None", "str | None", bool, int, int, int, int, int]


class Reading(NamedTuple):
    """What a response says of itself.

    `tokens_in` is all that was read, `cached` and `written` (into the provider's cache) included;
    `written_hour` is the part of `written` that is kept for an hour. `tier` is "batch", "flex" or
    what else the provider prices by. `finish` is why the answer ends: "stop", "length", "tools",
    "refused", "cut". `said` counts the bytes of the answer.
    """

    model: str | None
    tokens_in: int = 0
    tokens_out: int = 0
    cached: int = 0
    written: int = 0
    written_hour: int = 0
    tier: str | None = None
    finish: str | None = None
    said: int = 0
    estimated: bool = False


if TYPE_CHECKING:  # a protocol takes half a millisecond of every import

    class Meter(Protocol):
        """Follows the pieces of streamed answers."""

        def take(self, piece: object, /) -> Reading | None:
            """Take a piece; give what is known of an answer that has ended before it."""

        def close(self, *, broken: bool) -> Reading | None:
            """Give what is known of the last answer; one that has no end was cut where `broken`.

            A count that is missing is left 0 and the reading `estimated`: the caller knows ratios.
            """

    class Estimates(Protocol):
        """What was learned of each step and model from usage that came back."""

        def learn(self, call: Call[Any], reading: Reading, seconds: float, /) -> None:
            """Take a settled answer."""

        def filled(self, call: Call[Any], reading: Reading, /) -> Reading:
            """Give an estimated reading with the counts that the provider did not send."""

        def lost(self, call: Call[Any], seconds: float, /) -> Reading | None:
            """Estimate an attempt that was let go without a word; `None` where nothing is known."""

        def knows(self, step: str, /) -> bool:
            """Say whether the step has told tokens before."""

        def statistics(self) -> tuple[Any, ...]:
            """Give how good the estimates are."""


class Reader:
    """How responses of one class are read: `whole` gives what one says, `meter` follows pieces."""

    __slots__ = ("meter", "whole")

    whole: Callable[[object], Reading | None] | None
    meter: Callable[[], Meter] | None

    def __init__(
        self,
        whole: Callable[[object], Reading | None] | None,
        meter: Callable[[], Meter] | None = None,
    ) -> None:
        """Take what reads a response, and what makes a meter of pieces."""
        self.whole = whole
        self.meter = meter

    def __repr__(self) -> str:
        """Show both."""
        return f"Reader({self.whole!r}, {self.meter!r})"


PLAIN: set[type] = {type(None), bool, int, float, str, bytes, list, tuple, dict, set, frozenset}
READERS: dict[type, Reader] = {}
SETTLED: WeakValueDictionary[int, object] = WeakValueDictionary()


def reader_of(kind: type) -> Reader | None:
    """Give how responses of a class are read; one that says nothing of usage is plain from now."""
    reader = READERS.get(kind)
    if reader is None:
        for each in kind.__mro__:
            package = (each.__module__ or "").partition(".")[0]
            if package in _registry.TABLE["usage"]:
                find = cast("Callable[[type], Reader | None]", _registry.load("usage", package))
                reader = find(kind)
                break
        if len(PLAIN) + len(READERS) > MOST_CLASSES:  # of a program that makes classes as it runs
            READERS.clear()
            PLAIN.intersection_update(
                each for each in tuple(PLAIN) if each.__module__ == "builtins"
            )
        if reader is None:
            PLAIN.add(kind)
        else:
            READERS[kind] = reader
    return reader


def prepare() -> None:
    """Load the readers of clients that are loaded, lest the first response waits for them."""
    for package, entry in (("google", "google.genai"), *zip(CLIENTS, CLIENTS, strict=True)):
        if entry in sys.modules:
            _registry.load("usage", package)


def settle_value(call: Call[Any], here: Scope | Attempt, value: object) -> None:
    """Read what a body gave, unless its step told its usage itself."""
    reader = reader_of(value.__class__)
    if reader is None or reader.whole is None or not is_new(value):
        return
    number = number_of(here)
    if not has_told(call.facts, number):
        reading = _careful(reader.whole, value)
        if reading is not None:
            settle(call, here, reading)


def settle(call: Call[Any], here: Scope | Attempt, reading: Reading) -> None:
    """Enter an answer into its call, and learn from it, or estimate what it does not say."""
    if reading.estimated:
        reading = call.run.runtime.known_estimates().filled(call, reading)
    else:
        learn(call, here, reading)
    enter(facts_of(call), number_of(here), reading)
    call.run.runtime.expect_prices(reading.model)


def learn(call: Call[Any], here: Scope | Attempt, reading: Reading) -> None:
    """Let estimates learn from an answer; what a rehearsal drew teaches nothing."""
    if call.run.body is None:
        seconds = call.run.time() - began(call, here)
        call.run.runtime.known_estimates().learn(call, reading, seconds)


def read_response(response: object) -> Reading:
    """Read a response that somebody tells of; one that was read before says nothing more.

    Raises TypeError where its class says nothing of usage.
    """
    reader = reader_of(response.__class__)
    reading = None if reader is None or reader.whole is None else reader.whole(response)
    if reading is None:
        msg = (
            "usage(response) is for a response of an official client, such as the ChatCompletion "
            f"of openai or the Message of anthropic, got {type(response).__name__}: say "
            "usage(model=..., tokens_in=..., tokens_out=...)"
        )
        raise TypeError(msg)
    return reading if is_new(response) else Reading(reading.model)


def is_new(response: object) -> bool:
    """Say whether a response is seen for the first time; from now on it is not."""
    key = id(response)
    if SETTLED.get(key) is response:
        return False
    try:
        SETTLED[key] = response
    except TypeError:  # it cannot be referred to weakly: nobody remembers it
        return True
    return True


def number_of(here: Scope | Attempt) -> int:
    """Give the number of an attempt, from 1."""
    return here.number if isinstance(here, Attempt) else 1


def began(call: Call[Any], here: Scope | Attempt) -> float:
    """Give when an attempt began, on the loop's clock."""
    return here.started if isinstance(here, Attempt) else call.started


def has_told(facts: Mapping[str, Any] | None, number: int) -> bool:
    """Say whether attempt `number` has said what it used."""
    return facts is not None and any(told[0] == number for told in facts.get("bill", ()))


def enter(facts: dict[str, Any], number: int, reading: Reading) -> None:
    """Add what one answer of attempt `number` used."""
    counts = reading[1:6]
    usage = facts.setdefault("usage", {})
    for name, count in zip(COUNTS, counts, strict=True):
        if count:
            usage[name] = usage.get(name, 0) + count
    if reading.model is not None:
        facts["model"] = reading.model
    if reading.estimated:
        facts["estimated"] = True
    if reading.finish is not None and not (reading.finish == CUT and _ended(facts, number)):
        facts["finish"] = reading.finish
    add_to_bill(facts, (number, reading.model, reading.tier, reading.estimated, *counts))


def _ended(facts: dict[str, Any], number: int) -> bool:
    """Say whether another attempt has said how its answer ended; a loser is cut after it."""
    bill = facts.get("bill")
    return "finish" in facts and (not bill or bill[-1][0] != number)


def add_to_bill(facts: dict[str, Any], told: Told) -> None:
    """Keep an answer for itself, since some prices rise with the length of one."""
    if not any(told[4:]):
        return
    bill: list[Told] = facts.setdefault("bill", [])
    more = not told[4]  # nothing was read: it goes on with the same answer
    for place in range(len(bill) - 1, -1, -1) if more or len(bill) >= MOST else ():
        if bill[place][:4] == told[:4]:
            sums = [mine + new for mine, new in zip(bill[place][4:], told[4:], strict=True)]
            bill[place] = cast("Told", (*told[:4], *sums))
            return
    bill.append(told)


def note_lost(call: Call[Any], here: Scope | Attempt, error: BaseException) -> bool:
    """Estimate what an attempt used that ended in silence, where its step is known to use anything.

    Say whether it may have used what nobody can estimate yet.
    """
    if not may_be_charged(error):
        return False
    policy = call.policy
    if not isinstance(here, Attempt) and not (policy.bare or policy.only_timed):
        return False  # its attempts have said it
    return estimate_lost(call, number_of(here), call.run.time() - began(call, here))


def estimate_lost(call: Call[Any], number: int, seconds: float) -> bool:
    """Estimate an attempt that told nothing in so many seconds; say whether nobody can."""
    if has_told(call.facts, number):
        return False
    estimates = call.run.runtime.estimates
    reading = None if estimates is None else estimates.lost(call, seconds)
    if reading is not None:
        finish = None if call.facts is None else call.facts.get("finish")
        enter(facts_of(call), number, reading._replace(finish=finish or reading.finish))
    return reading is None


def may_be_charged(error: BaseException) -> bool:
    """Say whether a provider may have worked for an attempt that ended so: it never said no."""
    if isinstance(error, (CancelledError, StepTimedOut)):
        return True
    if not is_transient(error) or isinstance(error, FanwiseError) or http_status(error) is not None:
        return False
    return not was_unsent(error)


def was_unsent(error: BaseException) -> bool:
    """Say whether an error came before anything was sent."""
    cause: BaseException | None = error
    for _ in range(DEEPEST):
        if cause is None:
            break
        if any(kind.__name__ in UNSENT for kind in type(cause).__mro__):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def was_refused(error: BaseException) -> bool:
    """Say whether a provider took no tokens for an attempt that ended so."""
    status = http_status(error)
    if status is not None:
        return 400 <= status < 500 and status != TOO_LATE
    return isinstance(error, NotDone) or was_unsent(error)


def share_of(call: Call[Any] | None, number: int) -> tuple[Told, ...] | None:
    """Give what one attempt told, for its row."""
    if call is None or call.facts is None or "bill" not in call.facts:
        return None
    return tuple([told for told in call.facts["bill"] if told[0] == number]) or None


class Metered:
    """The answers of which a stream's items are pieces, or which they are."""

    __slots__ = ("_call", "_here", "_meters", "_silent")

    def __init__(self, call: Call[Any], here: Attempt) -> None:
        """Watch the items of one attempt."""
        self._call = call
        self._here = here
        self._meters: dict[object, Meter] = {}
        self._silent = True  # nobody else tells

    def take(self, item: object) -> None:
        """Look at an item."""
        reader = reader_of(item.__class__)
        if reader is None:
            return
        if reader.meter is None:
            if is_new(item) and reader.whole is not None:
                self._settle(_careful(reader.whole, item))
            return
        meter = self._meters.get(reader.meter)
        if meter is None:
            meter = self._meters[reader.meter] = reader.meter()
        self._settle(_careful(meter.take, item))

    def close(self, *, broken: bool) -> None:
        """Settle what is open, when the stream has ended or broke."""
        for meter in self._meters.values():
            self._settle(meter.close(broken=broken))
        self._meters.clear()

    def _settle(self, reading: Reading | None) -> None:
        if reading is None:
            return
        if self._silent and has_told(self._call.facts, self._here.number):
            return  # the step tells its usage itself
        self._silent = False
        settle(self._call, self._here, reading)

    def __repr__(self) -> str:
        """Name the call."""
        return f"<Metered {self._call!r}>"


def _careful(read: Callable[[object], Reading | None], value: object) -> Reading | None:
    """Read a response whose class promises less than it seems; a success stays a success."""
    try:
        return read(value)
    except (AttributeError, LookupError, TypeError, ValueError):
        log.warning("the usage of %s could not be read", type(value).__qualname__, exc_info=True)
        return None
