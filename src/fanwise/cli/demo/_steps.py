"""The job with Fanwise: the policy stands with each step, and a gap is no failure."""

from collections.abc import Sequence

from fanwise import FanIn, Hedge, Limit, Retry, Runtime, fan_map, fan_out, step
from fanwise.cli.demo import _services as services
from fanwise.cli.demo._services import Answer
from fanwise.record import RunRecord

LIMITS = {"news": Limit(at_once=12), "model": Limit(at_once=20)}
thrice, hedge = Retry(attempts=3), Hedge(after=0.15)

web = step(timeout=0.5, retry=thrice, hedge=hedge)(services.web)
database = step(timeout=0.5, retry=thrice, hedge=hedge)(services.database)
news = step(timeout=0.5, retry=thrice, limit="news")(services.news)
model = step(timeout=0.5, retry=thrice, limit="model")(services.model)


@step
async def answer(question: str) -> Answer:
    """Ask three sources at once; two must answer; then the model."""
    asked = web(question), database(question), news(question)
    found = await fan_out(*asked, need=2, within=0.8)
    return await model(question, found.values())


async def job(questions: Sequence[str]) -> tuple[FanIn[Answer], RunRecord]:
    """Answer twenty questions at once; those that fail are gaps."""
    async with Runtime(limits=LIMITS) as runtime:
        run = runtime.start(fan_map(answer, questions, at_once=20, need=0))
        return await run.wait(), run.record()
