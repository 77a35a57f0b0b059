"""Estimates of tokens from bytes, calibrated by the usage that comes back.

Problem: how many tokens will a question take, and how many did an answer take that was let go,
where the provider does not say? A tokenizer for each model is large, and does not know what a step
sends beside its arguments (instructions, schemas of tools).
Method: for each step and model a line, tokens = a + b bytes, of the arguments for what is read and
of the answer for what is written. It is fitted by least squares, exponentially weighted, so that
the last forty or so count, with b drawn to a prior of one token for four bytes (ridge regression,
as if a spread of 200 bytes had been seen). One observation moves the line through it; no negative
part is left to extrapolate with. What an attempt wrote that was let go in silence is estimated
likewise, from the time that it had, where a first part without tokens is usual. Rejected: a mere
ratio, which is off by the whole of the instructions wherever questions differ in length.

The error of each estimate, made before its observation is learned from, is kept and reported.
It stands here, below models, since the first usage that is told loads it on the loop: all of
`fanwise.models` would hold that up for a twentieth of a second.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from fanwise.core import Reading, current_runtime
from fanwise.text._tokens import BYTES_PER_TOKEN, bytes_of

if TYPE_CHECKING:
    from fanwise.core import Call

KEEP: Final = 0.95  # of what is known, with each observation: a memory of some forty
SPREAD: Final = 200.0**2  # bytes squared, for which the prior speaks
SURE: Final = 8  # observations, after which one that is far off counts as less far
FARTHEST: Final = 4.0  # times or parts of what was expected
LONGEST_NAME: Final = 200  # characters of a model's name
MOST: Final = 1000  # steps and models
MOST_PARTS: Final = 10_000  # of arguments that are looked into


class EstimateStatistics(NamedTuple):
    """How well tokens of a step and model are estimated.

    `bytes_per_token` is of its answers, and of its questions where none was measured. Errors are
    the means of the recent relative ones, 0.1 for a tenth; `None` before there are any.
    """

    step: str
    model: str
    calls: int
    bytes_per_token: float
    error_in: float | None
    error_out: float | None


class Line:
    """Tokens over bytes: exponentially weighted sums, and the line through them."""

    __slots__ = ("error", "number", "w", "wx", "wxx", "wxy", "wy")

    def __init__(self) -> None:
        """Know nothing but the prior."""
        self.w = self.wx = self.wy = self.wxx = self.wxy = 0.0
        self.number = 0
        self.error: float | None = None

    def learn(self, size: int, tokens: int) -> None:
        """Take an observation; first its error."""
        if self.number:
            expected = self.tokens(size)
            off = abs(expected - tokens) / max(1, tokens)
            self.error = off if self.error is None else KEEP * self.error + (1 - KEEP) * off
            if self.number >= SURE:
                tokens = max(round(expected / FARTHEST), min(tokens, round(expected * FARTHEST)))
        self.number += 1
        self.w = self.w * KEEP + 1
        self.wx = self.wx * KEEP + size
        self.wy = self.wy * KEEP + tokens
        self.wxx = self.wxx * KEEP + size * size
        self.wxy = self.wxy * KEEP + size * tokens

    def tokens(self, size: int) -> float:
        """Estimate the tokens of so many bytes, at least 1."""
        if not self.number:
            return max(1.0, size / BYTES_PER_TOKEN)
        x, y = self.wx / self.w, self.wy / self.w
        slope = self._slope(1 / BYTES_PER_TOKEN, SPREAD)
        rest = y - slope * x
        if slope < 0:
            return max(1.0, y)
        if rest < 0 and x:
            return max(1.0, size * y / x)
        return max(1.0, rest + slope * size)

    def tokens_after(self, size: int) -> float:
        """Estimate the tokens of so many milliseconds, of which the first ones give none."""
        if not self.wx:
            return 0.0
        x, y = self.wx / self.w, self.wy / self.w
        slope = self._slope(y / x, x * x / 100)  # a tenth of the usual time is a spread
        return max(0.0, min(y + slope * (size - x), size * max(slope, y / x)))

    def _slope(self, prior: float, weight: float) -> float:
        """Fit the slope, drawn to a prior that counts as much as one observation so far off."""
        x, y = self.wx / self.w, self.wy / self.w
        share = weight / self.w
        return (self.wxy / self.w - x * y + share * prior) / (self.wxx / self.w - x * x + share)

    @property
    def bytes_per_token(self) -> float:
        """Bytes of a token, over all that is remembered."""
        return self.wx / self.wy if self.wy and self.wx else float(BYTES_PER_TOKEN)

    def __repr__(self) -> str:
        """Show the ratio."""
        return f"<Line of {self.number}, {self.bytes_per_token:.2f} bytes a token>"


class _Known:
    """What is known of one step and model."""

    __slots__ = ("asked", "pace", "said")

    def __init__(self) -> None:
        self.asked = Line()
        self.said = Line()
        self.pace = Line()  # tokens written over milliseconds

    def learn(self, asked: int, reading: Reading, seconds: float) -> None:
        if reading.tokens_in:
            self.asked.learn(asked, reading.tokens_in)
        if reading.said and reading.tokens_out:
            self.said.learn(reading.said, reading.tokens_out)
        if reading.tokens_out and seconds > 0:
            self.pace.learn(round(seconds * 1000), reading.tokens_out)


class Estimates:
    """What a runtime has learned of tokens, by step and model; of many, the longest unused goes."""

    def __init__(self) -> None:
        """Know nothing."""
        self._known: OrderedDict[tuple[str, str], _Known] = OrderedDict()
        self._latest: dict[str, str] = {}  # the model that a step used last

    def tokens_in(self, step: str, model: str, size: int) -> int:
        """Estimate what is read, from the bytes of the arguments."""
        return round(self._of(step, model).asked.tokens(size))

    def tokens_out(self, step: str, model: str, size: int) -> int:
        """Estimate what was written, from the bytes of an answer."""
        return round(self._of(step, model).said.tokens(size)) if size else 0

    def learn(self, call: Call[Any], reading: Reading, seconds: float) -> None:
        """Take a settled answer of a call, which took so many seconds."""
        if reading.model is not None:
            self.observe(call.step.name, size_of(call.args, call.kwargs), reading, seconds)

    def observe(self, step: str, asked: int, reading: Reading, seconds: float) -> None:
        """Take a settled answer to arguments of `asked` bytes."""
        model = reading.model or ""
        key = (step, model)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = _Known()
            if len(self._known) > MOST:
                (gone, last), _ = self._known.popitem(last=False)
                if self._latest.get(gone) == last:
                    del self._latest[gone]
        else:
            self._known.move_to_end(key)
        self._latest[step] = model
        known.learn(asked, reading, seconds)

    def filled(self, call: Call[Any], reading: Reading) -> Reading:
        """Give a reading with estimates where the provider did not count."""
        step = call.step.name
        model = reading.model or self._latest.get(step, "")
        said = self.tokens_out(step, model, reading.said)
        asked = reading.tokens_in or self.tokens_in(step, model, size_of(call.args, call.kwargs))
        return reading._replace(tokens_in=asked, tokens_out=max(reading.tokens_out, said))

    def lost(self, call: Call[Any], seconds: float) -> Reading | None:
        """Estimate an attempt that was let go after so many seconds, without a word."""
        step = call.step.name
        model = self._asked_of(call)
        if model is None:
            return None
        known = self._of(step, model)
        asked = round(known.asked.tokens(size_of(call.args, call.kwargs)))
        written = round(known.pace.tokens_after(round(seconds * 1000)))
        return Reading(model, asked, written, estimated=True, finish="cut")

    def expected(self, step: str, size: int) -> tuple[int, int | None] | None:
        """Give what a call of a step will read, from the bytes of its arguments, and write.

        It writes as much as the others did on average; `None` before there are any.
        """
        model = self._latest.get(step)
        if model is None:
            return None
        known = self._of(step, model)
        mean = round(known.said.wy / known.said.w) if known.said.number else None
        return round(known.asked.tokens(size)), mean

    def knows(self, step: str) -> bool:
        """Say whether the step has told tokens before."""
        return step in self._latest

    def _asked_of(self, call: Call[Any]) -> str | None:
        """Guess the model: one that an argument names, else the one that the step used last."""
        step = call.step.name
        for value in (*call.args, *call.kwargs.values()):
            if isinstance(value, str) and 0 < len(value) < LONGEST_NAME:
                for known, model in self._known:
                    if known == step and model.startswith(value):
                        return model
        return self._latest.get(step)

    def statistics(self) -> tuple[EstimateStatistics, ...]:
        """Give how good the estimates are."""
        return tuple(
            EstimateStatistics(
                step, model, known.asked.number,
                (known.said if known.said.number else known.asked).bytes_per_token,
                known.asked.error, known.said.error,
            )
            for (step, model), known in self._known.items()
        )  # fmt: skip

    def _of(self, step: str, model: str) -> _Known:
        return self._known.get((step, model)) or _Known()

    def __repr__(self) -> str:
        """Count what is known."""
        return f"<Estimates of {len(self._known)} steps and models>"


def size_of(*values: object) -> int:
    """Count the bytes of all text in values, in UTF-8, those within them included."""
    total = 0
    left: list[object] = list(values)
    for _ in range(MOST_PARTS):
        if not left:
            break
        value = left.pop()
        if isinstance(value, str):
            total += bytes_of(value)
        elif isinstance(value, dict):
            left += value.values()
        elif isinstance(value, (list, tuple)):
            left += value
        elif is_dataclass(value) and not isinstance(value, type):
            left += [getattr(value, field.name, None) for field in fields(value)]
        elif hasattr(value, "model_fields_set"):  # a pydantic model: a message of LangChain
            left += vars(value).values()
    return total


def known_estimates() -> Estimates:
    """Give the estimates of the running runtime."""
    found = current_runtime().known_estimates()
    assert isinstance(found, Estimates)  # noqa: S101 - the registry knows no other
    return found


def estimates(_address: str) -> Estimates:
    """Give estimates that know nothing, for a runtime."""
    return Estimates()
