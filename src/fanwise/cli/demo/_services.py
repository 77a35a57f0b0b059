"""Four services that fail on purpose, and count what they are asked.

They stand where an API would: `await web(question)`. What goes wrong is drawn from a seed, the
service, the question, and how often it was asked, so that every version of the job meets the same.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Collection
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from fanwise.testing.faults import Fault, Refused, fails, hangs, slow

_REFUSAL_TAKES: Final = 0.005
_RETRY_AFTER: Final = 0.25


class Reply(NamedTuple):
    """What a source answered; `request` is the number of the request."""

    source: str
    text: str
    request: int


class Answer(NamedTuple):
    """What the model wrote; `requests` are the numbers of those in it, its own included."""

    question: str
    text: str
    sources: tuple[str, ...]
    requests: tuple[int, ...]


@dataclass(slots=True)
class Request:
    """One request as the service saw it; `end` and `state` change when it ends."""

    service: str
    question: str
    start: float
    end: float | None = None
    state: str = "running"


class Wrong(NamedTuple):
    """What goes wrong with a share of the requests, or of the questions however often asked."""

    share: float
    of: Literal["requests", "questions"]
    fault: Fault

    def __str__(self) -> str:
        """Say it in a line."""
        return f"{self.fault} for {self.share:.0%} of the {self.of}"


class Server(NamedTuple):
    """A service: how long it takes, in seconds, how many it bears at once, what goes wrong."""

    name: str
    takes: tuple[float, float]
    at_once: int | None = None
    wrong: tuple[Wrong, ...] = ()

    def troubles(self) -> list[str]:
        """Say what is wrong with it, a line each."""
        if self.at_once is not None:
            return [f"refuses what is beyond {self.at_once} at once (HTTP 429)"]
        return [str(each) for each in self.wrong]


WEB: Final = Server(
    "web",
    (0.03, 0.09),
    wrong=(
        Wrong(0.06, "requests", fails(ConnectionError, after=0.03)),
        Wrong(0.05, "requests", slow(0.8)),
    ),
)
DATABASE: Final = Server("database", (0.02, 0.06), wrong=(Wrong(0.04, "questions", hangs()),))
NEWS: Final = Server("news", (0.04, 0.08), at_once=12)
MODEL: Final = Server("model", (0.08, 0.16), at_once=20)
SERVICES: Final = (WEB, DATABASE, NEWS, MODEL)
SOURCES: Final = len(SERVICES) - 1  # all but the model


@dataclass(slots=True)
class World:
    """The services during one version of the job, and all requests that they were sent."""

    seed: int
    requests: list[Request] = field(default_factory=list)
    busy: Counter[str] = field(default_factory=Counter)
    asked: Counter[tuple[str, str]] = field(default_factory=Counter)

    async def serve(self, service: Server, question: str) -> int:
        """Take a request, let happen what the seed says, and give the request's number."""
        number = len(self.requests)
        request = Request(service.name, question, _now())
        self.requests.append(request)
        self.busy[service.name] += 1
        try:
            await self._work(service, question)
            request.state = "replied"
        except BaseException as error:
            request.state = _state(error)
            raise
        finally:
            self.busy[service.name] -= 1
            request.end = _now()
        return number

    async def _work(self, service: Server, question: str) -> None:
        if service.at_once is not None and self.busy[service.name] > service.at_once:
            await asyncio.sleep(_REFUSAL_TAKES)
            raise Refused(429, _RETRY_AFTER)
        times = self.asked[service.name, question] = self.asked[service.name, question] + 1
        place = f"{self.seed}:{service.name}:{question}"
        draw = random.Random(f"{place}:{times}")
        seconds = draw.uniform(*service.takes)
        drawn = {"questions": random.Random(place).random(), "requests": draw.random()}
        for share, of, fault in service.wrong:
            if drawn[of] < share:
                await fault.act(lambda: asyncio.sleep(seconds))
                return
            drawn[of] -= share
        await asyncio.sleep(seconds)


WORLD: Final[ContextVar[World]] = ContextVar("fanwise_demo_world")


async def web(question: str) -> Reply:
    """Search the web."""
    return await _ask(WEB, question)


async def database(question: str) -> Reply:
    """Search the database."""
    return await _ask(DATABASE, question)


async def news(question: str) -> Reply:
    """Search the news."""
    return await _ask(NEWS, question)


async def model(question: str, found: Collection[Reply]) -> Answer:
    """Let the model write an answer out of what was found: the dear one."""
    number = await WORLD.get().serve(MODEL, question)
    sources = tuple(reply.source for reply in found)
    text = f"an answer to {question!r} out of {', '.join(sources)}"
    return Answer(question, text, sources, (number, *(reply.request for reply in found)))


async def _ask(service: Server, question: str) -> Reply:
    number = await WORLD.get().serve(service, question)
    return Reply(service.name, f"what {service.name} has on {question!r}", number)


def _state(error: BaseException) -> str:
    if isinstance(error, Refused):
        return "refused"
    return "cancelled" if isinstance(error, asyncio.CancelledError) else "failed"


def _now() -> float:
    return asyncio.get_running_loop().time()
