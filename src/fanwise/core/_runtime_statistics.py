"""What a runtime tells of itself at one instant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fanwise.core._frozen import Frozen

if TYPE_CHECKING:
    from fanwise.core._accounts import BudgetStatistics
    from fanwise.core._breaker import BreakerStatistics
    from fanwise.core._cache_state import CacheStatistics
    from fanwise.core._guesses import GuessStatistics
    from fanwise.core._hedge_state import HedgeStatistics
    from fanwise.core._limits import LimitStatistics
    from fanwise.core._races import RaceStatistics


class RuntimeStatistics(Frozen):
    """A runtime at one instant: calls running, live runs, limits, breakers, hedges, races, caches.

    `abandoned` counts functions in pools that go on though nobody waits for them. `guesses` says
    for each `speculate` how often its guesses were joined so far, `estimates` for each step and
    model how far off the estimates of tokens were, `budgets` what is used of each that is open,
    `deployments` what became of each of those that the names of `models=` stand for.
    """

    running: int
    runs: int
    abandoned: int
    limits: tuple[LimitStatistics, ...]
    breakers: tuple[BreakerStatistics, ...]
    guesses: tuple[GuessStatistics, ...]
    hedges: tuple[HedgeStatistics, ...]
    pools: tuple[LimitStatistics, ...]
    races: tuple[RaceStatistics, ...]
    caches: tuple[CacheStatistics, ...] = ()
    estimates: tuple[Any, ...] = ()
    budgets: tuple[BudgetStatistics, ...] = ()
    deployments: tuple[Any, ...] = ()
