"""Limits: what it costs to be admitted where nobody waits, in this process.

An admission is the whole of what an attempt does before it starts: what it needs, what was used
before, and one decision over requests, tokens read, tokens written and width.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from benchmarks._figure import Figure
from benchmarks._measure import Scale, Span, Spread
from fanwise import Limit, Runtime, current, step
from fanwise.core import Need

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fanwise.core._quota import Quota

BAR = 5.0  # microseconds
AT_ONCE = 1000
LIMIT = Limit(
    at_once=AT_ONCE,
    requests_per_minute=100_000,
    input_tokens_per_minute=4_000_000,
    output_tokens_per_minute=2_000_000,
)


@step(limit="model", needs=Need(100, 50))
async def ask() -> None:
    current().usage(model="m", tokens_in=100, tokens_out=50)


def admission(scale: Scale) -> Iterator[Figure]:
    """Measure an admission with all rates, and print what its settlement costs."""
    spans = asyncio.run(_rounds(scale, scale.of(AT_ONCE)))
    admitted, settled = (
        Spread.of([span.processor * 1e6 / scale.of(AT_ONCE) for span in side])
        for side in zip(*spans, strict=True)
    )
    note = f"and {settled.median:.1f} µs to settle it"
    yield Figure(
        "admission, nothing waits", admitted, BAR, "requests, tokens, width", "us", note=note
    )


async def _rounds(scale: Scale, count: int) -> list[tuple[Span, Span]]:
    spans = []
    for _ in range(scale.rounds + 1):  # the first warms up
        async with Runtime(limits={"model": LIMIT}) as runtime:
            spans.append(await runtime.run(_measured(runtime, count)))
    return spans[1:]


@step
async def _measured(runtime: Runtime, count: int) -> tuple[Span, Span]:
    for _ in range(20):  # until it is known what the step uses
        await ask()
    quota: Quota = runtime.widths["model"]
    call = ask()
    await call
    with Span() as admitting:
        reservations = [_admitted(quota, call) for _ in range(count)]
    with Span() as settling:
        for each in reservations:
            quota.settle(each, call, 1)
            quota.release(each)
    return admitting, settling


def _admitted(quota: Quota, call: object) -> object:
    reservation = quota.reservation(call)
    if not quota.take(reservation):
        raise AssertionError(quota)
    return reservation
