"""A quota used up without a 429: models over the twin, which has buckets of its own.

Arrivals always wait, so that each token that is not used is lost. What the calls say of themselves
is half or twice of what they use. It is a count and no time: the clock is virtual, and the rounds
are the seeds of the twin and the runtime.
"""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from benchmarks._figure import Figure
from benchmarks._measure import Spread
from fanwise import Limit, Runtime, fan_map
from fanwise.core import Need
from fanwise.testing import run_virtual
from fanwise.testing.twin import Law, Quota, Twin
from fanwise.text import tokens_estimated
from tests.providers.on_twin import on_twin

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from benchmarks._measure import Scale
    from fanwise import FanIn
    from fanwise.models import Answer

ASKED = 400
TPM = 6_000  # so that they take four minutes or more
RPM = 3_000
MOST = 80  # max_tokens
WRITTEN = 25  # tokens that an answer has, about
REFILL = 60.0  # seconds: the ramp, and each refill after it
AT_START = 0.02  # of the calls


class Case(NamedTuple):
    """What the provider charges, and what calls say of themselves over what they use."""

    charge: str
    guess: float

    def need(self, question: str, *_: object) -> Need:
        """Give what a call says of itself: a half or twice of what its question and answer take."""
        guessed = self.guess * tokens_estimated(question)
        return Need(round(guessed), round(self.guess * WRITTEN), MOST)


CASES = [Case(charge, guess) for charge in ("admission", "use") for guess in (0.5, 2.0)]


class Served(NamedTuple):
    """A request as the provider saw it: when, how it answered, and what its buckets took."""

    time: float
    status: int
    tokens: int


class Judged(NamedTuple):
    """What became of all requests: 429s, those after the start, and the part of the quota used.

    `refills` is the time after the ramp over that in which the buckets refill.
    """

    refused: int
    late: int
    used: float
    refills: float


def judged(served: Iterable[Served], rate: float, refill: float = REFILL) -> Judged:
    """Judge requests to one quota of `rate` tokens a second, all of one clock."""
    every = sorted(served)
    begin, end = every[0].time, every[-1].time
    refused = [place for place, one in enumerate(every) if one.status == 429]
    late = [place for place in refused if place >= AT_START * len(every)]
    ramp = begin + refill
    used = sum(one.tokens for one in every if ramp <= one.time < end)
    seconds = max(refill / 1000, end - ramp)
    return Judged(len(refused), len(late), used / (rate * seconds), seconds / refill)


def used_up(scale: Scale) -> Iterator[Figure]:
    """Count the 429s, and measure how much of the quota is used from the end of the ramp."""
    asked = scale.of(ASKED, 40)
    rounds = [
        [run_virtual(_case(case, asked, seed), seed=seed) for case in CASES]
        for seed in range(1, scale.rounds + 1)
    ]
    refused = [sum(each.late for each in one) for one in rounds]
    total = sum(each.refused for one in rounds for each in one)
    used = [min(each.used for each in one) for one in rounds]
    refills = min(each.refills for one in rounds for each in one)
    calls = asked * len(CASES)
    about = "admission and use, estimates of half and twice"
    yield Figure(
        "429s at full quota, after 2 % of calls", Spread.of(refused), 0, "the twin's own bucket",
        unit="count", note=f"{about}; {calls} calls a round, {total} 429s in all",
    )  # fmt: skip
    yield Figure(
        "quota used after the ramp", Spread(median(used), min(used), max(used)), 0.97,
        "all that the twin refills", unit="number", at_least=True,
        note=f"the worst of {len(CASES)} cases a round, over {refills:.1f} refills",
    )  # fmt: skip


async def _case(case: Case, asked: int, seed: int) -> Judged:
    """Ask the twin so many questions at once, and judge by its ledger."""
    tpm = TPM * asked / ASKED
    quota = Quota(tokens_per_minute=tpm, requests_per_minute=RPM, charge=case.charge)
    law = Law(first=0.3, per_second=30, jitter=0.5)
    twin = Twin({"*": law}, quota=quota, answers=_answer, seed=seed)
    limit = Limit(tokens_per_minute=tpm, requests_per_minute=RPM, charge=case.charge)
    async with (
        on_twin("openai", twin, limit="model", needs=case.need) as model,
        Runtime(limits={"model": limit}, seed=seed),
    ):

        async def ask(number: int) -> Answer[str]:
            return await model.ask(f"What of {number}? " * (1 + number % 19), max_tokens=MOST)

        found: FanIn[Answer[str]] = await fan_map(ask, range(asked), at_once=asked, need=0)
    admission = case.charge == "admission"
    served = [
        Served(
            entry.time,
            429 if entry.status == 429 else 200,
            entry.counts.tokens_in + (MOST if admission else entry.counts.tokens_out),
        )
        for entry in twin.ledger
    ]
    failed = [each for each in found.outcomes if each.status != "ok"]
    assert len(failed) == sum(one.status == 429 for one in served), failed
    return judged(served, tpm / 60)


def _answer(ask: object) -> str:
    """Answer in 5 to 45 words, by the question."""
    return "word " * (5 + sum(map(ord, str(ask))) % 41)
