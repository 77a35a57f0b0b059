"""A fan-out over prompts that begin alike: how often its beginning is paid for, by the twin's ledger.

Virtual time, so that nothing is noise: the twin's clock is that of the loop.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from benchmarks._figure import Figure
from benchmarks._measure import Spread
from fanwise import Runtime, fan_out
from fanwise.models import Model, Prompt, ask_shared
from fanwise.providers import anthropic
from fanwise.testing import run_virtual
from fanwise.testing.twin import Law, Price, Twin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks._measure import Scale
    from fanwise import Call

WIDTH = 20
BEGINNING = "What every prompt begins with. " * 400
NAIVE = "fan_out of the same prompts at once"


def shared(scale: Scale) -> Iterator[Figure]:
    """Count the writes that `ask_shared` pays for; the same prompts at once stand beside it."""
    ours, theirs = [], []
    for _ in range(scale.rounds):
        theirs.append(_paid(_naive))
        ours.append(_paid(_shared))
    writes, dollars, seconds = (Spread.of([float(each[n]) for each in ours]) for n in range(3))
    at_once = theirs[0]
    note = (
        f"{at_once[0]} writes at once; ${dollars.median:.4f} over ${at_once[1]:.4f}, "
        f"{seconds.median:.1f} s over {at_once[2]:.1f} s"
    )
    what = f"shared beginning, {WIDTH} wide: writes"
    yield Figure(what, writes, 1.0, NAIVE, unit="number", note=note)


def _paid(ask: Callable[[Model], Call[object]]) -> tuple[int, Decimal, float]:
    """Give the writes, the dollars and the seconds of one fan-out."""
    law = Law(first=0.5, per_second=50)
    twin = Twin({"m": law}, prices={"*": Price("3", "15")})

    async def main() -> None:
        async with twin.client() as http, Runtime() as runtime:
            await runtime.run(
                ask(Model(anthropic("m", key="k", base_url="http://twin", http=http)))
            )

    run_virtual(main())
    entries = list(twin.ledger)
    if len(entries) != WIDTH or any(entry.status != 200 for entry in entries):
        msg = f"{WIDTH} questions were to be answered, the twin saw {entries}"
        raise RuntimeError(msg)
    writes = sum(entry.counts.written > 0 for entry in entries)
    cost = sum((entry.cost or Decimal(0) for entry in entries), Decimal(0))
    return writes, cost, max(entry.ended_at or 0.0 for entry in entries)


def _questions() -> list[str]:
    return [f"Question {number}: what follows from it?" for number in range(WIDTH)]


def _shared(model: Model) -> Call[object]:
    return ask_shared(model, BEGINNING, _questions())


def _naive(model: Model) -> Call[object]:
    return fan_out(*[model.ask(Prompt(each, shared=BEGINNING)) for each in _questions()])
