"""A fan-out over prompts that begin alike: the beginning is paid for once.

Problem: providers keep the beginning of a prompt and read it again at a tenth of its price, but
only once the first token of the request that wrote it is there; so n prompts that are sent at once
each pay for it in full, and where a write has a price of its own, n of them.
Method: one prompt goes first, as a stream, and the others start when its first token arrives. One
that fails before that hands on to the next in line. The cost is the first prompt's time to its
first token, once. Rejected: to wait for the end of the first answer (many times as long), and a
request of one token ahead of all (a call more, and no answer).
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Final, cast

from fanwise.core import at_least, current, made_for_caller, note, step, waiting_call, whole
from fanwise.models._answer import Answer
from fanwise.models._asking import priced
from fanwise.models._chat import Asked, Chat, as_chat, several_asked
from fanwise.models._model import Model
from fanwise.patterns import check_quorum, fan_out
from fanwise.text import tokens_estimated

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fanwise.core import Call, FanIn

LEAST: Final = 1024
KEPT_FROM: Final = {
    "claude-opus-4-5": 4096,
    "claude-opus-4-6": 4096,
    "claude-sonnet-4-6": 2048,
    "claude-haiku-4-5": 4096,
    "claude-3-5-haiku": 2048,
    "claude-3-haiku": 2048,
    "gemini-3-pro": 4096,
    "gemini-2.5-pro": 4096,
}
"""Tokens from which a model's provider keeps a beginning, by what its name holds; `LEAST` for all
others, OpenAI's among them. From the pages of Anthropic, Google and OpenAI on prompt caching, 2026.
"""


@dataclass(frozen=True, slots=True)
class SharedAnswers:
    """The answers to prompts that begin alike, in their order, and what sharing came to, in tokens.

    `found` is the fan-in. `predicted` is what was to be read from the provider's cache, an
    estimate (0 where the beginning is too short to be kept), `read` what really was, `written`
    what was paid for being kept (providers without such a price say 0). `saved` is US dollars: what
    the same answers would have cost with nothing read and nothing kept, less what they cost;
    `None` where a price is not known. Answers that are missing are in none of these.
    """

    found: FanIn[Answer[str]]
    predicted: int
    saved: Decimal | None

    @property
    def read(self) -> int:
        """Tokens that were read from the provider's cache."""
        return sum(answer.usage.cached for answer in self.found.values())

    @property
    def written(self) -> int:
        """Tokens that were written to the provider's cache."""
        return sum(answer.usage.written for answer in self.found.values())


class _Door:
    """Lets one pass, and all others once that one has its first token."""

    __slots__ = ("led", "line", "opened", "shared")

    def __init__(self, shared: int, *, opened: bool) -> None:
        self.shared = shared
        self.opened = opened
        self.led = False
        self.line: deque[asyncio.Future[bool]] = deque()

    async def leads(self) -> bool:
        """Wait until there is reason to go on; say whether it is to lead."""
        if self.opened or not self.led:
            first, self.led = not self.opened, True
            return first
        turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.line.append(turn)
        began = turn.get_loop().time()
        try:
            return await turn
        except BaseException:
            if turn.done() and not turn.cancelled() and turn.result():
                self.hand_on()  # it was to lead, and is cancelled
            raise
        finally:
            with suppress(ValueError):
                self.line.remove(turn)
            call = waiting_call()
            if call is not None:
                note(call, waits={"prefix": turn.get_loop().time() - began})

    def open(self) -> None:
        """Let everybody pass."""
        self.opened = True
        for turn in self.line:
            if not turn.done():
                turn.set_result(False)

    def hand_on(self) -> None:
        """Let the next in line lead, unless the first token came."""
        self.led = False
        for turn in self.line:
            if not turn.done() and not self.opened:
                turn.set_result(True)
                self.led = True
                return

    def __repr__(self) -> str:
        return f"<Door {'open' if self.opened else 'shut'}, {len(self.line)} wait>"


def _counts(model: Model, asked: Asked, most: int | None, _: object) -> object:
    return model.name, as_chat(asked), most


@step(name="ask_shared/branch", key=_counts)
async def _branch(model: Model, asked: Asked, max_tokens: int | None, door: _Door) -> Answer[str]:
    if await door.leads():
        answer = await _first(model, asked, max_tokens, door)
    else:
        answer = await model.ask(asked, max_tokens=max_tokens)
    current().usage(sent=answer.usage.tokens_in, shared=door.shared)
    return answer


async def _first(model: Model, asked: Asked, max_tokens: int | None, door: _Door) -> Answer[str]:
    """Give the answer, and open the door at its first piece."""
    answer: Answer[str] | None = None
    try:
        async with model.stream(asked, max_tokens=max_tokens) as pieces:
            async for piece in pieces:
                door.open()
                if isinstance(piece, Answer):
                    answer = replace(cast("Answer[str]", piece), value=piece.text)
    finally:
        door.hand_on()
    assert answer is not None  # noqa: S101 - the last piece of every stream of a model
    return answer


def _counts_all(model: Model, asked: tuple[Asked, ...], *rest: object) -> object:
    return model.name, tuple(map(as_chat, asked)), [str(each) for each in rest]


@step(name="ask_shared", key=_counts_all)
async def _ask_shared(
    model: Model,
    asked: tuple[Asked, ...],
    schedule: _Schedule,
    max_tokens: int | None,
) -> SharedAnswers:
    beginning = as_chat(asked[0]) if asked else Chat(())
    shared = tokens_estimated(beginning.system) + tokens_estimated(beginning.shared)
    pays = shared >= kept_from(model.name) and len(asked) > 1
    door = _Door(shared, opened=not pays)
    branches = [_branch(model, each, max_tokens, door) for each in asked]
    fan_in = fan_out(
        *branches, need=schedule.need, within=schedule.within, at_once=schedule.at_once
    )
    found = await fan_in
    predicted = shared * (len(asked) - 1) if pays else 0
    return SharedAnswers(found, predicted, await saved_by(found.values()))


async def saved_by(answers: Sequence[Answer[str]]) -> Decimal | None:
    """Give the dollars that the provider's cache saved on these answers."""
    total = Decimal(0)
    for answer in answers:
        plain = replace(answer.usage, cached=0, written=0)
        alone = (await priced(replace(answer, usage=plain, cost=None))).cost
        if alone is None or answer.cost is None:
            return None  # its price is not known
        total += alone - answer.cost
    return total


@dataclass(frozen=True, slots=True)
class _Schedule:
    need: int | str
    within: float | None
    at_once: int | None


def ask_shared(
    model: Model,
    shared: str,
    prompts: Iterable[Asked],
    *,
    need: int | str = "all",
    within: float | None = None,
    at_once: int | None = None,
    max_tokens: int | None = None,
) -> Call[SharedAnswers]:
    """Ask prompts that all begin with the text `shared`, which the provider then reads once.

    One prompt goes first, as a stream; the others follow when its first token arrives. Where it
    fails before that, the next one leads. All go at once where the beginning, with the system text,
    is shorter than what the model's provider keeps, 1,024 tokens or more (an estimate decides).
    `need`, `within` and `at_once` are those of `fan_out`; `max_tokens` bounds each answer.

    Raises `NotEnough` below `need`. The first answer is not retried once it has begun. Cancelled,
    it cancels every prompt and awaits their ends.
    """
    if not isinstance(model, Model):
        msg = f'model is a Model, such as model("anthropic:..."), got {model!r}'
        raise TypeError(msg)
    given: object = shared
    if not isinstance(given, str) or not given:
        msg = f"shared is the text that all prompts begin with, not empty, got {shared!r}"
        raise ValueError(msg)
    asked = tuple([begun_with(shared, each) for each in several_asked("prompts", prompts)])
    check_quorum("need", need, len(asked))
    if within is not None:
        at_least("within", within, 0)
    for name, bound in (("at_once", at_once), ("max_tokens", max_tokens)):
        if bound is not None:
            whole(name, bound, 1)
    refuse_different_systems(asked)
    schedule = _Schedule(need, within, at_once)
    return made_for_caller(_ask_shared(model, asked, schedule, max_tokens))


def kept_from(address: str) -> int:
    """Give the tokens from which the provider of a model keeps a beginning."""
    return next((least for part, least in KEPT_FROM.items() if part in address), LEAST)


def begun_with(shared: str, asked: Asked) -> Asked:
    """Give the same question with `shared` before it; raise where it has another beginning."""
    question = as_chat(asked) if isinstance(asked, str) else asked
    if question.shared not in ("", shared):
        msg = f"a prompt has a shared text of its own, and shared= is declared once: {asked!r}"
        raise ValueError(msg)
    return replace(question, shared=shared)


def refuse_different_systems(asked: tuple[Asked, ...]) -> None:
    """Raise where the system texts, which come before what is shared, differ."""
    systems = {as_chat(each).system for each in asked}
    if len(systems) > 1:
        shown = ", ".join(repr(text[:40]) for text in sorted(systems))
        msg = f"all prompts need the same system text, which is sent before shared; got {shown}"
        raise ValueError(msg)
