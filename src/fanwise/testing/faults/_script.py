"""A script: which step meets which fault, what came of it, and what was never used."""

from __future__ import annotations

import asyncio
import inspect
import random
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, NamedTuple, Self
from weakref import WeakKeyDictionary

from fanwise.core import BODY
from fanwise.testing.faults._values import Asked, Choice, Fault

if TYPE_CHECKING:
    from contextvars import Token
    from types import TracebackType

    from fanwise.core import Body, Call, Drawn
    from fanwise.testing.faults._values import Own

Rule = Fault | Choice | Sequence[Fault | None]


class FaultsUnused(AssertionError):
    """Faults of a script never acted: a step's name is misspelt, or a call was not made.

    `unused` holds one line for each.
    """

    unused: tuple[str, ...]

    def __init__(self, unused: Sequence[str]) -> None:
        self.unused = tuple(unused)
        lines = "".join(f"\n  - {line}" for line in unused)
        super().__init__(f"faults that were never used: {len(self.unused)}{lines}")


class Happened(NamedTuple):
    """A fault that began to act: when, on the loop's clock, in which attempt, and which it was."""

    time: float
    step: str
    call: int
    attempt: int
    fault: Fault

    def __str__(self) -> str:
        """Say it in a line."""
        again = f", attempt {self.attempt}" if self.attempt > 1 else ""
        return f"{self.time:g} s: {self.step} (call {self.call}{again}) {self.fault.what}"


class Script:
    """What goes wrong, by the name of the step: `with Script(news=fails(after=0.1)):`.

    Runs that are opened in the block, by `await call` as by `runtime.run`, meet it; so do those
    that get it as `runtime.run(call, body=script)`. It acts inside slot, timeout, retry and hedge:
    once for each attempt. Names that are no identifiers stand in a mapping,
    `Script({"Client.search": hangs(), "model/*": slow(2.0)})`: the exact name counts before
    patterns, and among these the first that fits.

    A list is used up one entry an attempt, in the order in which the attempts start; `None` lets
    the step's function run, and so does the end of the list. `a | b` tries one after the other.
    `seed` draws what `only(share=...)` meets. Leaving the block raises `FaultsUnused` for faults
    that never acted, unless `allow_unused`; where the block fails, they are noted on its error.
    Scripts nest: the inner one decides for the steps that it names.
    """

    def __init__(
        self,
        faults: Mapping[str, Rule] | None = None,
        /,
        *,
        seed: int = 0,
        allow_unused: bool = False,
        **named: Rule,
    ) -> None:
        """Take the faults by name; raise where one of them is none."""
        self.happened: list[Happened] = []
        self.allow_unused = allow_unused
        self._seed = seed
        self._rules: dict[str, _Faults] = {}
        self._steps: dict[str, _Counts] = {}
        self._began: float | None = None
        self._outer: Body | None = None
        self._token: Token[Body | None] | None = None
        self.add(faults, **named)

    def add(self, faults: Mapping[str, Rule] | None = None, /, **named: Rule) -> None:
        """Add faults; a name that is there already gets new ones, and is counted anew."""
        for name, rule in {**(faults or {}), **named}.items():
            self._rules[name] = _Faults(name, rule, self._seed)

    @property
    def steps(self) -> dict[str, int]:
        """How many attempts began, by the name of the step, in order of appearance."""
        return {name: counts.attempts for name, counts in self._steps.items()}

    def unused(self) -> list[str]:
        """Give a line for every fault that should have acted and did not."""
        return [line for rule in self._rules.values() for line in rule.unused(self._steps)]

    def check(self) -> None:
        """Raise `FaultsUnused` where a fault never acted."""
        if unused := self.unused():
            raise FaultsUnused(unused)

    def __call__(self, call: Call[Any], attempt: int, draw: random.Random, /) -> Drawn | None:
        """Answer the engine, which asks at every attempt."""
        name = call.step.name
        now = asyncio.get_running_loop().time()
        if self._began is None:
            self._began = now
        number = self._steps.setdefault(name, _Counts()).count(call)
        rule = self._rule_for(name)
        if rule is None:
            return None if self._outer is None else self._outer(call, attempt, draw)
        fault = rule.choose(Asked(number, attempt, now - self._began, call.args, call.kwargs))
        if fault is None:
            return None
        self.happened.append(Happened(now, name, number, attempt, fault))
        return _Played(fault, call)

    def _rule_for(self, name: str) -> _Faults | None:
        exact = self._rules.get(name)
        if exact is not None:
            return exact
        return next((rule for key, rule in self._rules.items() if fnmatchcase(name, key)), None)

    def __enter__(self) -> Self:
        """Let the runs that are opened from here on meet the script."""
        if self._token is not None:
            msg = "this script is entered already: another block needs a script of its own"
            raise RuntimeError(msg)
        self._outer = BODY.get()
        self._token = BODY.set(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End that, and say which faults were never used."""
        if self._token is not None:
            BODY.reset(self._token)
        self._token = self._outer = None
        if self.allow_unused:
            return
        if error is None:
            self.check()
        elif unused := self.unused():
            error.add_note("faults that were never used: " + "; ".join(unused))

    def __str__(self) -> str:
        """Tell what happened, a line for each fault."""
        return "\n".join(map(str, self.happened))

    def __repr__(self) -> str:
        """Count."""
        return f"<Script of {', '.join(self._rules) or 'nothing'}, {len(self.happened)} happened>"


class _Counts:
    """The calls and attempts of one step."""

    def __init__(self) -> None:
        self.attempts = 0
        self.calls = 0
        self._numbers: WeakKeyDictionary[Call[Any], int] = WeakKeyDictionary()

    def count(self, call: Call[Any]) -> int:
        """Count an attempt, and give the number of its call."""
        self.attempts += 1
        if call not in self._numbers:
            self.calls += 1
            self._numbers[call] = self.calls
        return self._numbers[call]


class _Faults:
    """The faults under one name, and how far they are used."""

    def __init__(self, name: str, rule: Rule, seed: int) -> None:
        self.name = name
        self.in_turn = not isinstance(rule, (Fault, Choice))
        self.faults = _as_faults(name, rule)
        self.used = [0] * len(self.faults)
        self.asked = 0
        self._random = random.Random(f"{seed}:{name}")

    def choose(self, asked: Asked) -> Fault | None:
        """Give the fault of an attempt, and count it as used."""
        self.asked += 1
        if self.in_turn:
            places = range(self.asked - 1, min(self.asked, len(self.faults)))
        else:
            places = range(len(self.faults))
        for place in places:
            fault = self.faults[place]
            if fault is not None and fault.fits(asked) and self._drawn(fault, place):
                self.used[place] += 1
                return fault
        return None

    def _drawn(self, fault: Fault, place: int) -> bool:
        if fault.most is not None and self.used[place] >= fault.most:
            return False
        return fault.share is None or self._random.random() < fault.share

    def unused(self, steps: Mapping[str, _Counts]) -> list[str]:
        """Say what never acted; what is left to chance was used where it was asked for."""
        if not self.asked:
            return [f"no call of {self.name!r} was made; {_seen(steps, self.name)}"]
        tries = f"{self.asked} attempt{'' if self.asked == 1 else 's'} of it began"
        return [
            f"{self.name!r} {fault}: {tries}"
            for fault, used in zip(self.faults, self.used, strict=True)
            if fault is not None and not used and fault.share is None
        ]


class _Played:
    """A fault in one attempt."""

    def __init__(self, fault: Fault, call: Call[Any]) -> None:
        self.fault = fault
        self.call = call

    async def play(self, own: Own, /) -> Any:  # noqa: ANN401 - the step's value
        """Let it act."""
        given = self.call.args[0] if self.call.step.owns_arguments else None
        try:
            return await self.fault.act(own)
        finally:
            if inspect.iscoroutine(given):  # a plain awaitable, of which nobody else knows
                given.close()


def _as_faults(name: str, rule: object) -> tuple[Fault | None, ...]:
    if isinstance(rule, Fault):
        return (rule,)
    if isinstance(rule, Choice):
        return rule.faults
    each = list(rule) if isinstance(rule, (list, tuple)) else []
    if not each or not all(one is None or isinstance(one, Fault) for one in each):
        msg = (
            f"the fault of {name!r} is a Fault, several written a | b, or a list with one for each "
            f"attempt, such as {name}=[None, faults.slow(2.0)], got {rule!r}"
        )
        raise TypeError(msg)
    return tuple(each)


def _seen(steps: Mapping[str, _Counts], name: str) -> str:
    close = get_close_matches(name, steps, n=1)
    meant = f"; did you mean {close[0]!r}?" if close else ""
    return f"steps seen: {', '.join(steps) or 'none'}{meant}"
