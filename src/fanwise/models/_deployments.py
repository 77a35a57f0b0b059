"""What the names of a runtime stand for: deployments in tiers, and what is known of each.

A deployment is a model, or an embedder, with a name of its own, by which its limit and its breaker
go. It is one thing to a runtime, however many names have it. What is known here serves the choice
between several: breakers, limits and pauses hold where the engine keeps them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, cast
from weakref import WeakKeyDictionary
from zlib import crc32

from fanwise.core import (
    Breaker,
    Limit,
    OwnLimit,
    _registry,
    http_status,
)
from fanwise.core._frozen import Frozen
from fanwise.core._standing import Standing, standing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fanwise.core import Call, Runtime, Step, Timeout
    from fanwise.models._embedder import Embedder

REFUSED_HERE: Final = frozenset({401, 402, 403, 404})
"""Statuses of a key, an account or a model that is not there: another deployment may have it."""
MOST_STEPS: Final = 64
PROVIDERS: Final = frozenset(each.partition(":")[0] for each in _registry.TABLE["model"])


def refuses_here(error: Exception) -> bool:
    """Say whether a deployment refuses what another one may take."""
    return http_status(error) in REFUSED_HERE


BREAKER: Final = Breaker(window=10.0, in_a_row=5, on=refuses_here)
"""That of a deployment which has none: quick, since a mistake costs a way round."""


class Asks(Protocol):
    """What a deployment is made of, as far as this module sees it: a `Model` or an `Embedder`."""

    @property
    def name(self) -> str:
        """The address."""

    @property
    def policy(self) -> Mapping[str, Any]:
        """The arguments of `@step` that it was made with."""

    def using(self, **policy: Any) -> Asks:  # noqa: ANN401 - as @step
        """Give the same under another policy."""


class Manner(Frozen):
    """What a name passes on to its deployments: the bound of an attempt, and what it is for."""

    timeout: float | Timeout | None = None
    role: str | None = None


class DeploymentStatistics(Frozen):
    """A deployment at one instant, and what became of its calls so far.

    `state` is "paused" after a 429 for as long as that asked, else that of its breaker. `waiting`
    calls have begun and not been admitted. `refused` counts calls that ended before anything was
    sent: by a breaker, by a limit, or because they were to go elsewhere.
    """

    name: str
    state: Literal["closed", "open", "half-open", "paused"]
    in_flight: int
    waiting: int
    answered: int
    failed: int
    refused: int


class Deployment:
    """One of those behind a name, in one runtime."""

    __slots__ = (
        "address",
        "answered",
        "asked",
        "failed",
        "given",
        "in_flight",
        "last",
        "name",
        "new",
        "probe",
        "refused",
        "salt",
        "steps",
    )

    new: dict[Call[Any], Callable[[], bool]]  # begun and not yet admitted, with how they leave

    def __init__(self, name: str, given: Asks, address: str | None) -> None:
        """Know nothing of it yet; `address` is what it was given as, where that was a text."""
        self.name = name
        self.given = given
        self.address = address
        self.salt = crc32(name.encode())
        self.steps: dict[tuple[str, Manner], Step[..., Any]] = {}
        self.new = {}
        self.probe: Call[Any] | None = None  # begun, before its breaker has heard of it
        self.asked = self.answered = self.failed = self.refused = self.in_flight = 0
        self.last = ""  # the text of its last failure

    def call(self, kind: str, manner: Manner, args: tuple[Any, ...]) -> Call[Any]:
        """Make a call of it, which nobody needs to await."""
        call: Call[Any] = self.step(kind, manner).fresh(*args)
        call.excused = True
        return call

    def step(self, kind: str, manner: Manner) -> Step[..., Any]:
        """Give the step that is asked so."""
        step = self.steps.get((kind, manner))
        if step is None:
            if len(self.steps) >= MOST_STEPS:  # of a program that has a timeout for each question
                self.steps.clear()
            step = self.steps[kind, manner] = self._step(kind, manner)
        return step

    def _step(self, kind: str, manner: Manner) -> Step[..., Any]:
        given = self.given
        if not hasattr(given, kind):
            other = "an embedder: embedder(...)" if kind == "_ask" else "a model: model(...)"
            msg = f"{self.name} is {other} asks the names that have it"
            raise TypeError(msg)
        policy = given.policy
        passed: dict[str, Any] = {}
        if policy.get("breaker") is None:
            passed["breaker"] = BREAKER
        if policy.get("timeout") is None and manner.timeout is not None:
            passed["timeout"] = manner.timeout
        if manner.role is not None:
            passed["role"] = manner.role
        if policy.get("limit") is None:
            passed["limit"] = OwnLimit(self.name, Limit())  # none, unless the runtime defines one
        made = given.using(**passed) if passed else given
        return cast("Step[..., Any]", getattr(made, kind))

    def embeds(self, at_address: Callable[[str], Embedder]) -> Embedder:
        """Give it as an embedder; raise TypeError for a model that was not given by its address."""
        if not hasattr(self.given, "embed"):
            if self.address is None:
                msg = f"{self.name} is a model and embeds nothing: model(...) asks the names of it"
                raise TypeError(msg)
            self.given = at_address(self.address)
        return cast("Embedder", self.given)

    def arriving(self) -> int:
        """Count the calls that have begun and are not admitted, those that wait among them."""
        new = self.new
        while new:
            first = next(iter(new))
            if first.attempts == 0:
                break
            del new[first]  # they are admitted in about this order
        return len(new)

    def waiting(self) -> Iterator[Callable[[], bool]]:
        """Give how each call leaves that waits in a line, the first one first."""
        new = list(self.new.items())
        return (go for call, go in new if call.attempts == 0 and call.status == "running")

    def standing(
        self, runtime: Runtime, kind: str, manner: Manner, args: tuple[Any, ...]
    ) -> Standing:
        """Say how a call would fare here after those that are on their way."""
        how = standing(runtime, self.step(kind, manner), args, self.arriving())
        return how._replace(open=True, probe=False) if how.probe and self.probe else how

    def begun(self, call: Call[Any], go: Callable[[], bool], *, probe: bool) -> None:
        """Take note of a call that begins now, and is to `probe`; `go` has it choose again."""
        if probe:
            self.probe = call
        self.asked += 1
        self.in_flight += 1
        self.new[call] = go

    def ended(self, call: Call[Any]) -> None:
        """Take note of the end of a call, and of what it says of the deployment."""
        self.in_flight -= 1
        self.new.pop(call, None)
        if self.probe is call:
            self.probe = None
        if call.status == "ok":
            self.answered += 1
        elif not call.attempts:
            self.refused += 1
        elif call.error is not None and call.status != "cancelled":
            self.failed += 1
            self.last = short(call.error)

    def statistics(self, runtime: Runtime) -> DeploymentStatistics:
        """Give its counters."""
        state: Literal["closed", "open", "half-open", "paused"] = "closed"
        now = runtime.time()
        outfits = (runtime.outfits.get(step) for step in self.steps.values())
        outfit = next((each for each in outfits if each is not None), None)
        if outfit is not None:
            if any(width.statistics().paused for width, _ in outfit.widths):
                state = "paused"
            elif outfit.breaker is not None:
                state = outfit.breaker.statistics(now).state
        return DeploymentStatistics(
            self.name, state, self.in_flight, self.arriving(), self.answered, self.failed,
            self.refused,
        )  # fmt: skip

    def __repr__(self) -> str:
        """Show the name."""
        return f"<Deployment {self.name}, {self.in_flight} in flight>"


Tiers = tuple[tuple[Deployment, ...], ...]


class Names:
    """The names of one runtime, each with its tiers; `fanwise.models.model("smart")` asks one."""

    __slots__ = ("beside", "deployments", "tiers")

    beside: WeakKeyDictionary[Call[Any], set[Deployment]]  # where attempts with a hedge have been
    deployments: dict[str, Deployment]
    tiers: dict[str, Tiers]

    def __init__(
        self, models: object, given_as: Callable[[str, object], tuple[Asks, str | None]]
    ) -> None:
        """Make the deployments; raise, naming the name, for what can be none.

        `given_as` gives the model, or embedder, that was given under a name, and its address where
        that was all.
        """
        if not isinstance(models, Mapping):
            msg = f"models {EXAMPLE}, got {models!r}"
            raise TypeError(msg)
        self.beside = WeakKeyDictionary()
        self.deployments = {}
        self.tiers = {}
        for name, given in models.items():
            check_name(name)
            tiers = [
                tuple(self._deployment(name, *given_as(name, one)) for one in as_list(name, tier))
                for tier in as_list(name, given)
            ]
            refuse_twice(name, tiers)
            self.tiers[name] = tuple(tiers)

    def _deployment(self, name: str, given: Asks, address: str | None) -> Deployment:
        for policy in ("retry", "hedge"):
            if given.policy.get(policy) is not None:
                msg = (
                    f"{policy} of {given!r} in models[{name!r}] would ask it again before the next "
                    f"one is asked: model({name!r}).using({policy}=...) has it go round all of them"
                )
                raise ValueError(msg)
        called = str(given.policy.get("name") or given.name)
        known = self.deployments.get(called)
        if known is None:
            known = self.deployments[called] = Deployment(called, given, address)
        elif known.given is not given and (address is None or known.address != address):
            msg = (
                f"models[{name!r}] has a second deployment named {called!r}: limits, breakers and "
                f'the record know it by its name, so give it one, Model(..., name="{called} west")'
            )
            raise ValueError(msg)
        return known

    def of(self, name: str) -> Tiers:
        """Give the tiers of a name; raise ValueError for one that is not there."""
        tiers = self.tiers.get(name)
        if tiers is None:
            raise unknown(name, self.tiers)
        return tiers

    def statistics(self, runtime: Runtime) -> tuple[DeploymentStatistics, ...]:
        """Give the counters of every deployment."""
        return tuple(each.statistics(runtime) for each in self.deployments.values())

    def __repr__(self) -> str:
        """List the names."""
        return f"<Names {', '.join(self.tiers)}>"


EXAMPLE: Final = (
    'maps names to deployments, such as models={"smart": [["openai:gpt-5", '
    'Model(providers.openai("gpt-5", key=west), name="west")], "anthropic:claude-sonnet-4-5"]}: '
    "a list is tried in order, those of a list inside it are equals"
)


def names_of(runtime: Runtime) -> Names | None:
    """Give the names of a runtime, if it has any."""
    return cast("Names | None", runtime.names)


def check_name(name: object) -> None:
    """Raise for a name of models that is none."""
    if not isinstance(name, str):
        msg = f"models {EXAMPLE}, got the name {name!r}"
        raise TypeError(msg)
    if not is_name(name):
        msg = (
            f"models[{name!r}]: a name is not empty, has no colon, and is that of no provider, "
            'such as "smart"'
        )
        raise ValueError(msg)


def is_name(given: object) -> bool:
    """Say whether it is a name rather than an address, or a part of one."""
    return isinstance(given, str) and bool(given) and ":" not in given and given not in PROVIDERS


def as_list(name: str, given: object) -> Sequence[object]:
    """Give one or several as several; raise where there are none."""
    if isinstance(given, str) or not isinstance(given, Sequence):
        return (given,)
    if not given:
        msg = f"models[{name!r}] needs at least one deployment in each list, got {given!r}"
        raise ValueError(msg)
    return given


def refuse_twice(name: str, tiers: list[tuple[Deployment, ...]]) -> None:
    """Raise where a name has a deployment twice."""
    every = [each for tier in tiers for each in tier]
    for each in every:
        if every.count(each) > 1:
            msg = f"models[{name!r}] has {each.name!r} twice; each is asked once a round"
            raise ValueError(msg)


def unknown(name: str, known: Mapping[str, object]) -> ValueError:
    """Give the error of a name that is not there."""
    there = f"whose names are: {', '.join(sorted(known))}" if known else "which has none"
    return ValueError(
        f"model={name!r} is neither an address, such as 'openai:gpt-5-mini', nor a name of this "
        f"runtime, {there}. Runtime(models={{{name!r}: ['openai:gpt-5-mini', ...]}}) gives it one"
    )


def short(error: BaseException) -> str:
    """Give an error in a line."""
    text = f"{type(error).__name__}: {error}".partition("\n")[0]
    return text if len(text) <= 200 else f"{text[:199]}\u2026"
