"""Faults by script: what goes wrong, and for which requests."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, get_args

from fanwise.testing.twin._http import Refused
from fanwise.testing.twin._values import Block, Json, Saying, ToolUse, is_count, is_number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fanwise.testing.twin._values import Ask

FaultKind: TypeAlias = Literal["reset", "stall", "malformed", "outage", "wrong_json", "status"]
_KINDS: Final = get_args(FaultKind)
_TEXTS: Final[dict[int, tuple[Any, str]]] = {
    400: ("invalid", "The request is refused by a fault script."),
    401: ("key", "Incorrect API key provided."),
    403: ("permission", "The key may not use this resource."),
    404: ("missing", "The resource is not found."),
    429: ("rate", "Rate limit reached by a fault script."),
    500: ("internal", "The server had an error while processing your request."),
    503: ("overloaded", "The engine is currently overloaded, please try again later."),
    529: ("overloaded", "Overloaded"),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong.

    `kind` is "reset" (the connection is dropped), "stall" (silence of `seconds`; `None`: for
    ever), "malformed" (a chunk, or a body, that is no JSON), "wrong_json" (an answer that does
    not validate against its schema), "status" (an error `status`), or "outage" (that error for
    all within `between`). The first three strike after `after` tokens.

    It hits requests to `model` (`None`: all): the `nth` ones of them, counted from 1, or a
    `share` of them (0 to 1, drawn from the seed and the request's number), or, where neither is
    given, all; at most `times` of them; and only within `between`, seconds since the twin's first
    request. `retry_after` (seconds) goes with "status" and "outage".
    """

    kind: FaultKind
    model: str | None = None
    nth: int | Sequence[int] | None = None
    share: float | None = None
    times: int | None = None
    between: tuple[float, float] | None = None
    after: int = 0
    seconds: float | None = None
    status: int = 503
    retry_after: float | None = None

    def __post_init__(self) -> None:
        """Refuse a script that could never mean anything."""
        if self.kind not in _KINDS:
            raise ValueError(f"kind={self.kind!r}: one of {', '.join(_KINDS)}")
        if self.kind == "outage" and self.between is None:
            raise ValueError('kind="outage" needs between=(start, end), in seconds')
        self._check_requests()
        if not (is_count(self.status, 400) and self.status <= 599):
            raise ValueError(f"status={self.status!r}: an HTTP error, 400 to 599")
        if not is_count(self.after, 0):
            raise ValueError(f"after={self.after!r}: tokens before it strikes, 0 or more")
        for name, given in (("seconds", self.seconds), ("retry_after", self.retry_after)):
            if given is not None and not (is_number(given) and given >= 0):
                raise ValueError(f"{name}={given!r}: seconds, 0 or more, or None")

    def _check_requests(self) -> None:
        """Refuse requests that there could never be."""
        if self.between is not None and not _is_time(self.between):
            raise ValueError(f"between={self.between!r}: (start, end) in seconds, start first")
        if self.nth is not None and not all(is_count(n, 1) for n in _meant(self.nth)):
            raise ValueError(f"nth={self.nth!r}: the number of a request, from 1, or several")
        if self.times is not None and not is_count(self.times, 1):
            raise ValueError(f"times={self.times!r}: how often at most, 1 or more")
        if self.share is not None and not (is_number(self.share) and 0 <= self.share <= 1):
            raise ValueError(f"share={self.share!r}: a share between 0 and 1")

    def refusal(self) -> Refused:
        """Give the error of "status" and "outage"."""
        kind, text = _TEXTS.get(self.status, ("internal", f"The fault script says {self.status}."))
        again = {} if self.retry_after is None else {"retry-after": f"{self.retry_after:g}"}
        return Refused(self.status, kind, text, headers=again)


def _meant(nth: int | Sequence[int]) -> Sequence[int]:
    """Give the numbers of the requests that are hit."""
    return (nth,) if isinstance(nth, int) else nth


def _is_time(given: Any) -> bool:  # noqa: ANN401 - whatever was given
    if not (isinstance(given, (tuple, list)) and len(given) == 2):
        return False
    start, end = given
    return is_number(start) and is_number(end) and bool(0 <= start < end)


class Faults:
    """The script, with what it has done so far."""

    __slots__ = ("_hits", "_seed", "_seen", "script")

    def __init__(self, script: Sequence[Fault], seed: int) -> None:
        if not isinstance(script, Iterable):
            raise TypeError(f"faults={script!r}: a list of Fault is expected")
        self.script = tuple(script)
        for fault in self.script:
            if not isinstance(fault, Fault):
                raise TypeError(f"faults holds {fault!r}: a Fault is expected")
        self._seed = seed
        self._seen = [0] * len(self.script)
        self._hits = [0] * len(self.script)

    def __repr__(self) -> str:
        """Show how many faults there are, and how often they struck."""
        return f"<Faults {len(self.script)}, struck {sum(self._hits)} times>"

    def strike(self, ask: Ask, number: int, seconds: float) -> Fault | None:
        """Give the first fault of the script that hits a request, `seconds` after the first."""
        struck: Fault | None = None
        for place, fault in enumerate(self.script):
            if fault.model is None or fault.model == ask.model:
                self._seen[place] += 1
                if struck is None and self._hit(place, fault, number, seconds):
                    struck = fault
                    self._hits[place] += 1
        return struck

    def _hit(self, place: int, fault: Fault, number: int, seconds: float) -> bool:
        if fault.times is not None and self._hits[place] >= fault.times:
            return False
        if fault.between is not None and not fault.between[0] <= seconds < fault.between[1]:
            return False
        if fault.nth is not None:
            return self._seen[place] in _meant(fault.nth)
        if fault.share is not None:
            return random.Random(f"{self._seed}:{number}:{place}").random() < fault.share
        return True


def wrong(blocks: Sequence[Block], schema: Json | None) -> tuple[Block, ...]:
    """Spoil the structured parts of an answer, so that they are JSON and do not validate."""
    return tuple(_wrong_block(block, schema) for block in blocks)


def _wrong_block(block: Block, schema: Json | None) -> Block:
    if isinstance(block, ToolUse):
        return ToolUse(block.name, {"wrong": None}, block.id, raw='[{"wrong":null}]')
    return block if schema is None else Saying('[{"wrong":null}]')
