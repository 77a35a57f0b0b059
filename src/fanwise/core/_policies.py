"""What a step may ask of the engine: frozen values, without state, made once and shared."""

from __future__ import annotations

import inspect
import re
from math import isinf
from typing import TYPE_CHECKING, Any, Literal

from fanwise.core._frozen import Frozen
from fanwise.core._protocols import Need

if TYPE_CHECKING:
    from collections.abc import Callable

    from fanwise.core._budget import Budget
    from fanwise.core._call import Call

Charge = Literal["use", "admission"]
Effect = Literal["read", "write"]


class Retry(Frozen):
    """Try again after a failure that may pass, with exponential back-off and full jitter.

    `attempts` counts all of them, the first included (at least 1). The wait before attempt n + 1
    is uniform in 0 to min(`longest`, `shortest` * 2**(n - 1)) seconds ("full jitter", Brooker,
    "Exponential Backoff and Jitter", AWS 2015), on top of a `Retry-After` that the error carries;
    then it is spread over as many seconds as that asks for, where those are more.
    Retried are connection errors, timeouts, HTTP 408, 409, 429 and 5xx, and the exception types
    (or the predicate) in `on`; never `TypeError` and `ValueError` unless `on` lists them; never
    cancellation, an open breaker or a refused limit.
    """

    attempts: int = 3
    on: tuple[type[Exception], ...] | Callable[[Exception], bool] = ()
    shortest: float = 0.1
    longest: float = 30.0

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        failures("Retry(on=)", self.on)
        whole("Retry(attempts=)", self.attempts, 1)
        at_least("Retry(shortest=)", self.shortest, 0)
        at_least("Retry(longest=)", self.longest, self.shortest)


class Timeout(Frozen):
    """Bound one attempt of a stream: all of it, the wait for its first item, for each next one.

    In seconds; `None` is no limit. `attempt` and `first` count from the attempt's admission;
    `attempt` goes on while the reader is busy, as the stream holds its slot meanwhile. `idle`
    counts the generator's own time only, from when it is asked for an item. `first` and `idle` are
    for streams.
    """

    attempt: float | None = None
    first: float | None = None
    idle: float | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        for name in ("attempt", "first", "idle"):
            value = getattr(self, name)
            if value is not None:
                at_least(f"Timeout({name}=)", value, 0)
        if self.attempt is self.first is self.idle is None:
            msg = "Timeout() bounds nothing: Timeout(30.0, first=2.0, idle=1.0)"
            raise ValueError(msg)
        for name, value in (("first", self.first), ("idle", self.idle)):
            if self.attempt is not None and value is not None and value > self.attempt:
                msg = f"Timeout({name}=) is at most its attempt of {self.attempt} s, got {value}"
                raise ValueError(msg)


class Hedge(Frozen):
    """Send a duplicate when the first attempt has not answered `after` seconds; the first wins.

    Of a stream the first item is the answer.

    At most `more` duplicates, `after` seconds apart (Dean and Barroso, "The Tail at Scale", 2013).
    `after="p95"` is that percentile of the step's own latest latencies, known after 20 attempts or
    more. At most the part `share` of attempts is hedged (`None`: any with seconds, with a
    percentile what lies above it, 0.05 for "p95"). For reads only. A hedge takes a limit's slot
    without waiting for it, or is not sent; none is sent while the breaker is not closed.
    """

    after: float | str
    more: int = 1
    share: float | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        if isinstance(self.after, str):
            _ = self.quantile
        else:
            at_least("Hedge(after=)", self.after, 0)
        whole("Hedge(more=)", self.more, 1)
        if self.share is not None and not 0 < self.share <= 1:
            msg = f"Hedge(share=) is a share of attempts, above 0 and at most 1, got {self.share}"
            raise ValueError(msg)

    @property
    def quantile(self) -> float | None:
        """The percentile as a fraction, such as 0.95; `None` where `after` is in seconds."""
        if not isinstance(self.after, str):
            return None
        match = re.fullmatch(r"p(\d{1,2}(?:\.\d{1,3})?)", self.after)
        if match is None or not 0 < float(match[1]) < 100:
            msg = (
                'Hedge(after=) is in seconds, such as 0.5, or a percentile, such as "p95", '
                f"got {self.after!r}"
            )
            raise ValueError(msg)
        return float(match[1]) / 100


class Breaker(Frozen):
    """Stop calling what fails (Nygard, "Release It!", 2007).

    Opens when, within the last `window` seconds, at least `minimum` attempts ended and the share
    that failed is at least `share`; or, where `in_a_row` is given, as soon as that many failed one
    after the other, in whatever time. After `pause` seconds one probe is let through: its success
    closes the breaker, its failure opens it again. Counted as failed is what may pass (as `Retry`
    says), and the exception types (or the predicate) in `on`.
    """

    share: float = 0.5
    window: float = 30.0
    minimum: int = 10
    pause: float = 5.0
    in_a_row: int | None = None
    on: tuple[type[Exception], ...] | Callable[[Exception], bool] = ()

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        failures("Breaker(on=)", self.on)
        if self.in_a_row is not None:
            whole("Breaker(in_a_row=)", self.in_a_row, 1)
        if not 0 < self.share <= 1:
            msg = f"Breaker(share=) is a share of attempts, above 0 and at most 1, got {self.share}"
            raise ValueError(msg)
        above_zero("Breaker(window=)", self.window)
        whole("Breaker(minimum=)", self.minimum, 1)
        at_least("Breaker(pause=)", self.pause, 0)


class Cache(Frozen):
    """Keep a step's results, and let equal calls share one that runs.

    Equal are calls of one step with the same version and arguments (or what `key=` gives of them),
    wherever they are made. At most `size` results are kept, the longest unused forgotten first,
    each for `ttl` seconds (`None`: until it is forgotten); with 0 of either nothing is kept and
    running calls are shared all the same. Never kept: failures, a value whose `complete` is False
    (a fan-in with gaps, an answer that was cut, an official client's too), and one of which
    `valid`, a function of the value, is not true. Every call gets the same object: do not change
    it. For reads only.
    """

    size: int = 1000
    ttl: float | None = None
    valid: Callable[[Any], bool] | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        whole("Cache(size=)", self.size, 0)
        if self.ttl is not None:
            at_least("Cache(ttl=)", self.ttl, 0)
        if self.valid is not None:
            plain_function("Cache(valid=)", self.valid)
            if not callable(self.valid):
                msg = f"Cache(valid=) is a function of the value, got {self.valid!r}"
                raise TypeError(msg)


RATES = (
    "requests_per_minute", "tokens_per_minute", "input_tokens_per_minute",
    "output_tokens_per_minute",
)  # fmt: skip


class Limit(Frozen):
    """What is shared under a name: a width, and rates that come back with time.

    At most `at_once` calls hold it at the same time. Requests and tokens (all, those read, those
    written) are numbers a minute; they refill evenly, and idle time saves up `burst` seconds' worth
    of each at most, so that a window of t seconds admits rate * (burst + t) / 60 at most. `None` is
    no bound. All of it is decided at once: nobody holds a slot while it waits for tokens.

    `charge` says what the provider counts: with "use" the tokens that were used, with "admission"
    the input and all of `max_tokens`, of which nothing comes back.

    It opens in `ramp` seconds, counted from the first who asks: from one call to the whole width,
    and from nothing to the whole of each bucket. `adaptive` says whether the width falls where the
    provider is overloaded, and rises again to `at_once` (`None`: yes for a limit with rates).
    """

    at_once: int | None = None
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    input_tokens_per_minute: float | None = None
    output_tokens_per_minute: float | None = None
    burst: float = 60.0
    charge: Charge = "use"
    ramp: float = 0.0
    adaptive: bool | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        if self.at_once is not None:
            whole("Limit(at_once=)", self.at_once, 1)
        _countable("Limit(burst=)", self.burst)
        at_least("Limit(ramp=)", self.ramp, 0)
        if isinf(self.ramp):
            msg = f"Limit(ramp=) is a number of seconds that ends, got {self.ramp}"
            raise ValueError(msg)
        if self.adaptive is not None and not isinstance(self.adaptive, bool):
            msg = f"Limit(adaptive=) is True, False or None, got {self.adaptive!r}"
            raise TypeError(msg)
        for name, rate in self.rates.items():
            _countable(f"Limit({name}=)", rate)
            if rate * self.burst < 60:
                what = name.removesuffix("s_per_minute").replace("_", " of ")
                msg = (
                    f"Limit({name}={rate}, burst={self.burst}) holds less than one {what} at any "
                    f"time, so that none would ever pass: burst is at least {60 / rate:g} s here"
                )
                raise ValueError(msg)
        if self.charge not in ("use", "admission"):
            msg = f'Limit(charge=) is "use" or "admission", got {self.charge!r}'
            raise ValueError(msg)

    @property
    def is_width(self) -> bool:
        """Whether it bounds nothing but how many hold it, without looking at how they end."""
        return not (self.rates or self.ramp or self.adaptive)

    @property
    def adapts(self) -> bool:
        """Whether its width follows how its attempts end."""
        return bool(self.rates) if self.adaptive is None else self.adaptive

    @property
    def rates(self) -> dict[str, float]:
        """The rates that there are, a minute, by name."""
        every = {name: getattr(self, name) for name in RATES}
        return {name: rate for name, rate in every.items() if rate is not None}


class Policy:
    """What the engine reads of a step: the arguments of `@step`, checked once."""

    __slots__ = (
        "apart",
        "bare",
        "breaker",
        "budget",
        "cache",
        "effect",
        "first",
        "hedge",
        "idle",
        "key",
        "keyed",
        "keeps",
        "limit",
        "needs",
        "only_timed",
        "pool",
        "retry",
        "role",
        "seconds",
        "timeout",
        "verify",
        "version",
    )
    FIELDS = (
        "timeout", "retry", "hedge", "limit", "breaker", "cache", "effect", "keyed", "verify",
        "pool", "key", "version", "role", "needs", "budget",
    )  # fmt: skip

    apart: bool  # whether something stands around its attempts
    bare: bool
    keeps: bool
    only_timed: bool

    def __init__(self, **given: Any) -> None:  # noqa: ANN401 - one check per name below
        """Take the arguments of `@step`; raise `TypeError` or `ValueError` naming a wrong one."""
        unknown = given.keys() - set(self.FIELDS)
        if unknown:
            msg = f"no policy is named {min(unknown)!r}; there are: {', '.join(self.FIELDS)}"
            raise TypeError(msg)
        self.timeout: float | Timeout | None = given.get("timeout")
        self.retry: Retry | None = given.get("retry")
        self.hedge: Hedge | None = given.get("hedge")
        self.limit: str | None = given.get("limit")
        self.breaker: Breaker | None = given.get("breaker")
        self.cache: Cache | None = given.get("cache")
        self.effect: Effect = given.get("effect", "read")
        self.keyed: bool = given.get("keyed", False)
        self.verify: Callable[..., object] | None = given.get("verify")
        self.pool: str | None = given.get("pool")
        self.key: Callable[..., object] | None = given.get("key")
        self.version: int | str = given.get("version", 1)
        self.role: str = given.get("role", "work")
        self.needs: Need | Callable[..., Need] | None = given.get("needs")
        self.budget: Budget | None = given.get("budget")
        self._check()
        self.keeps = self.retry is not None or self.hedge is not None
        self.apart = self.cache is not None or self.budget is not None
        plain = self.limit is self.breaker is None and not self.apart
        alone = plain and not self.keeps and self.effect == "read"
        timeout = self.timeout if isinstance(self.timeout, Timeout) else None
        self.first: float | None = None if timeout is None else timeout.first
        self.idle: float | None = None if timeout is None else timeout.idle
        self.seconds: float | None = self.timeout if timeout is None else timeout.attempt
        self.bare = alone and self.timeout is None
        self.only_timed = alone and self.timeout is not None

    def _check(self) -> None:
        if self.timeout is not None and not isinstance(self.timeout, Timeout):
            at_least("timeout", self.timeout, 0)
        _one_of("retry", self.retry, Retry)
        _one_of("hedge", self.hedge, Hedge)
        _one_of("breaker", self.breaker, Breaker)
        _one_of("cache", self.cache, Cache)
        _one_of("limit", self.limit, str)
        _one_of("role", self.role, str)
        _one_of("pool", self.pool, str)
        if self.key is not None and not callable(self.key):
            msg = f"key is a function of the arguments, such as key=lambda q: q, got {self.key!r}"
            raise TypeError(msg)
        if self.needs is not None:
            plain_function("needs", self.needs)
            if not callable(self.needs):
                check_need("needs", self.needs)
        if not isinstance(self.version, (int, str)):
            msg = f"version is a number or a str, got {self.version!r}"
            raise TypeError(msg)
        if self.effect not in ("read", "write"):
            msg = f'effect is "read" or "write", got {self.effect!r}'
            raise ValueError(msg)
        if self.hedge is not None and self.effect == "write":
            msg = "a write takes no hedge, since a duplicate would act twice: drop hedge="
            raise ValueError(msg)
        if self.cache is not None and self.effect == "write":
            msg = "a write takes no cache, since a call that is answered from it does not act"
            raise ValueError(msg)
        self._check_writes()

    def _check_writes(self) -> None:
        if self.verify is not None and not callable(self.verify):
            msg = f"verify is a function that finds out about a write, got {self.verify!r}"
            raise TypeError(msg)
        if self.verify is not None and self.effect != "write":
            msg = 'verify= says whether a write has happened: add effect="write"'
            raise ValueError(msg)
        if self.keyed and self.effect != "write":
            msg = 'keyed=True says that the target honours a write\'s key: add effect="write"'
            raise ValueError(msg)

    def check_pace(self, step: str, *, streams: bool) -> None:
        """Raise where `step` is to bound the waits for items and is no stream."""
        if not streams and (self.first is not None or self.idle is not None):
            msg = (
                f"{step} gives one value, and first= and idle= of {self.timeout!r} are for streams "
                "(an async def with yield): timeout=30.0 bounds an attempt"
            )
            raise ValueError(msg)

    def need(self, call: Call[Any]) -> Need | None:
        """Give what the step says of an attempt of `call`, `None` where it says nothing."""
        needs = self.needs
        if needs is None or isinstance(needs, Need):
            return needs
        return check_need(f"needs= of {call.step.name}", needs(*call.args, **call.kwargs))

    def need_of(self, step: str, args: tuple[Any, ...]) -> Need | None:
        """Give what the step says of an attempt with such arguments, of which no call is made."""
        needs = self.needs
        if needs is None or isinstance(needs, Need):
            return needs
        return check_need(f"needs= of {step}", needs(*args))

    def changed(self, overrides: dict[str, Any]) -> Policy:
        """Give the same policy with some arguments replaced."""
        return Policy(**{name: getattr(self, name) for name in self.FIELDS} | overrides)

    def __repr__(self) -> str:
        """Show what differs from an empty policy."""
        shown = {name: getattr(self, name) for name in self.FIELDS}
        plain = {"effect": "read", "keyed": False, "version": 1, "role": "work"}
        text = ", ".join(f"{n}={v!r}" for n, v in shown.items() if v != plain.get(n))
        return f"Policy({text})"


def check_need(name: str, need: object) -> Need:
    """Raise, naming the argument, where `need` is none, or counts less than no token."""
    if not isinstance(need, Need):
        msg = f"{name} is a Need, such as Need(1500, 300), or a function that gives one: {need!r}"
        raise TypeError(msg)
    for field in ("tokens_in", "tokens_out", "most", "most_in"):
        count = getattr(need, field)
        if count is not None:
            whole(f"{name}, Need({field}=)", count, 0)
    return need


def check_pool(name: str, policy: Policy, *, inline: bool) -> None:
    """Raise where an async function is to run in a pool."""
    if inline and policy.pool is not None:
        msg = (
            f"{name} is async and runs on the loop, which a pool has none of: make it a plain def, "
            f"or drop pool={policy.pool!r}"
        )
        raise TypeError(msg)


def at_least(name: str, value: float, least: float) -> None:
    """Raise, naming the argument, where `value` is not a number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        msg = f"{name} is a number, got {value!r}"
        raise TypeError(msg)
    if not value >= least:
        msg = f"{name} is at least {least}, got {value}"
        raise ValueError(msg)


def failures(name: str, on: object) -> None:
    """Raise, naming the argument, where `on` does not say which errors are meant."""
    plain_function(name, on)
    types = isinstance(on, tuple) and all(
        isinstance(kind, type) and issubclass(kind, Exception) for kind in on
    )
    if not types and (isinstance(on, (type, tuple)) or not callable(on)):
        msg = (
            f"{name} is a tuple of exception types, such as on=(KeyError,), or a function "
            f"of the error, got {on!r}"
        )
        raise TypeError(msg)


def plain_function(name: str, function: object) -> None:
    """Raise, naming the argument, where `function` is async: its answer would always be true."""
    if inspect.iscoroutinefunction(function):
        msg = f"{name} is a plain function, and {function!r} is async: put it into a step instead"
        raise TypeError(msg)


def whole(name: str, value: float, least: int) -> None:
    """Raise, naming the argument, where `value` is not a whole number of at least `least`."""
    whole_number(name, value)
    at_least(name, value, least)


def whole_number(name: str, value: float) -> None:
    """Raise, naming the argument, where `value` is not a whole number."""
    if not isinstance(value, int) or isinstance(value, bool):
        msg = f"{name} is a whole number, got {value!r}"
        raise TypeError(msg)


def above_zero(name: str, value: float) -> None:
    """Raise, naming the argument, where `value` is not a number above zero."""
    at_least(name, value, 0)
    if value == 0:
        msg = f"{name} is above 0, got {value}"
        raise ValueError(msg)


def _countable(name: str, value: float) -> None:
    """Raise where `value` is not a number above zero that is less than infinite."""
    above_zero(name, value)
    if isinf(value):
        msg = f"{name} is a number that can be counted, got {value}; None is no bound of a rate"
        raise ValueError(msg)


def _one_of(name: str, value: object, kind: type) -> None:
    if value is not None and not isinstance(value, kind):
        example = {
            "str": '"process"' if name == "pool" else '"search"',
            "Retry": "Retry(attempts=3)",
            "Hedge": "Hedge(after=0.2)",
            "Cache": "Cache(size=1000, ttl=60.0)",
        }
        shown = example.get(kind.__name__, f"{kind.__name__}()")
        msg = f"{name} is a {kind.__name__}, such as {name}={shown}, got {value!r}"
        raise TypeError(msg)
