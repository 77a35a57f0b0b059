"""What became of one version of the job: counted by the services and the loop, not by the job."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fanwise.analysis import Summary, summary
from fanwise.cli.demo import _careful, _gather, _services, _steps
from fanwise.cli.demo._services import WORLD, Answer, World

if TYPE_CHECKING:
    from fanwise.record import RunRecord

Job = Callable[[], Awaitable[Sequence[Answer | BaseException]]]


@dataclass(frozen=True, slots=True)
class Figures:
    """One version in numbers; times in seconds, infinite where there was no answer.

    A question's time runs from its first request to its answer. `lost` are replies that stand in
    no answer, `in_vain` all requests that do not, `orphans` tasks that ran on after the job had
    returned.
    """

    name: str
    seconds: float
    questions: int
    answered: int
    complete: int
    median: float
    p99: float
    requests: int
    refused: int
    lost: int
    in_vain: int
    orphans: int


async def run_gather(questions: Sequence[str], seed: int) -> Figures:
    """Run the version that is written first."""
    return await _measure("gather", lambda: _gather.job(questions), questions, seed)


async def run_careful(questions: Sequence[str], seed: int) -> Figures:
    """Run the version that is written next."""
    return await _measure("careful", lambda: _careful.job(questions), questions, seed)


async def run_fanwise(questions: Sequence[str], seed: int) -> tuple[Figures, Summary]:
    """Run the version with Fanwise, and give what its record says too."""
    records: list[RunRecord] = []

    async def job() -> list[Answer]:
        found, record = await _steps.job(questions)
        records.append(record)
        return found.values()

    figures = await _measure("fanwise", job, questions, seed)
    return figures, summary(records[0])


async def _measure(name: str, job: Job, questions: Sequence[str], seed: int) -> Figures:
    world = World(seed)
    token = WORLD.set(world)
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        given = await job()
        seconds = loop.time() - began
        left = asyncio.all_tasks() - {asyncio.current_task()}
    finally:
        WORLD.reset(token)
    running = [number for number, each in enumerate(world.requests) if each.end is None]
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    answers = [each for each in given if isinstance(each, Answer)]
    used = {number for answer in answers for number in answer.requests}
    times = _times(world, answers, questions)
    states = [each.state for each in world.requests]
    replied = {number for number, state in enumerate(states) if state == "replied"}
    return Figures(
        name=name,
        seconds=seconds,
        questions=len(questions),
        answered=len(answers),
        complete=sum(len(each.sources) == _services.SOURCES for each in answers),
        median=rank(times, 0.5),
        p99=rank(times, 0.99),
        requests=len(states),
        refused=states.count("refused"),
        lost=len(replied - used - set(running)),
        in_vain=len(states) - len(used),
        orphans=len(left),
    )


def _times(world: World, answers: Sequence[Answer], questions: Sequence[str]) -> list[float]:
    """Give the time to the answer of each question, infinite where there is none."""
    began: dict[str, float] = {}
    for each in world.requests:
        began.setdefault(each.question, each.start)
    times = dict.fromkeys(questions, math.inf)
    for answer in answers:
        ended = max(world.requests[number].end or math.inf for number in answer.requests)
        times[answer.question] = ended - began[answer.question]
    return sorted(times.values())


def rank(ordered: Sequence[float], share: float) -> float:
    """Give the least value that `share` of the values do not exceed (nearest rank)."""
    return ordered[math.ceil(share * len(ordered)) - 1]
