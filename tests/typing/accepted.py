"""What both checkers must accept, with exactly these types.

Mypy gives `assert_type(f(x), ...)` to a generic `f` as a context, so results have a name first.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from typing import Literal, assert_type

from fanwise import (
    Cache,
    Call,
    FanIn,
    Hedge,
    Outcome,
    Retry,
    Runtime,
    Step,
    Timeout,
    batch,
    bind,
    fan_map,
    fan_out,
    first,
    pipeline,
    run,
    speculate,
    stage,
    step,
    tree_reduce,
    vote,
)
from fanwise.core import Stream, StreamCall, StreamStep
from fanwise.models import (
    Answer,
    BatchTerms,
    Cascade,
    Choice,
    Ensemble,
    Message,
    Model,
    Part,
    Prompt,
    Route,
    Text,
    ToolCall,
    ToolSpec,
    ask_all,
    ask_batch,
    ask_shared,
    ballot,
    cascade,
    ensemble,
)
from fanwise.models.tools import (
    Tool,
    ToolResults,
    Turn,
    as_tool,
    mcp_server,
    run_tools,
    tool_specs,
)
from fanwise.patterns import MapCall, Reduced, Vote
from fanwise.pools import ProcessPool


@dataclass
class Hit:
    name: str


@step
async def web(query: str) -> list[int]:
    return [len(query)]


@step(timeout=1.0, retry=Retry(attempts=2), hedge=Hedge(after=0.1), limit="x")
async def score(number: int, unit: str = "s") -> float:
    return float(f"{number}{unit}")


@step
def plain(number: int) -> str:
    return str(number)


@step(pool="process", timeout=1.0)
def parse(text: str, *, strict: bool = True) -> list[str]:
    return [text] if strict else []


@step
async def add(numbers: list[float]) -> float:
    return sum(numbers)


@step
async def join(pages: list[int], total: float) -> str:
    return f"{pages} {total}"


class Client:
    @step
    async def ask(self, query: str) -> bytes:
        return query.encode()

    @step(timeout=1.0)
    def sync(self, query: str, *, times: int = 1) -> bytes:
        return query.encode() * times


def not_mine(text: str) -> dict[str, int]:
    return {text: 1}


async def awaited(number: int) -> int:
    return number


async def source() -> AsyncIterator[str]:
    yield "a"


@step
async def tokens(prompt: str) -> AsyncIterator[str]:
    yield prompt


@step(timeout=Timeout(30.0, first=2.0, idle=1.0), retry=Retry(attempts=3))
async def numbers(prompt: str, *, most: int = 3) -> AsyncGenerator[int, None]:
    for number in range(most):
        yield number + len(prompt)


class Speaker:
    @step
    async def words(self, prompt: str) -> AsyncIterator[bytes]:
        yield prompt.encode()

    @step(timeout=1.0)
    async def letters(self, prompt: str, /) -> AsyncGenerator[str, None]:
        yield prompt


def calls_know_their_type() -> None:
    a = assert_type(web("q"), Call[list[int]])
    b = assert_type(score(1), Call[float])
    c = assert_type(score(1, unit="m"), Call[float])
    d = assert_type(plain(1), Call[str])
    e = assert_type(step(not_mine)("x"), Call[dict[str, int]])
    f = assert_type(web.using(timeout=1.0)("q"), Call[list[int]])
    g = assert_type(web("q").named("search"), Call[list[int]])
    h = assert_type(parse("a", strict=False), Call[list[str]])
    i = assert_type(plain.using(pool="process")(1), Call[str])
    _ = a, b, c, d, e, f, g, h, i


def methods_are_steps(client: Client) -> None:
    a = assert_type(client.ask("q"), Call[bytes])
    b = assert_type(client.sync("q", times=2), Call[bytes])
    c = assert_type(client.ask.using(timeout=1.0)("q"), Call[bytes])
    d = assert_type(Client.ask(client, "q"), Call[bytes])
    _ = a, b, c, d


def calls_are_covariant(call: Call[bool]) -> Call[int]:
    return call


def a_step_is_a_function(some: Step[[str], list[int]]) -> None:
    _ = assert_type(some("q"), Call[list[int]])


def pools(executor: ProcessPoolExecutor) -> Runtime:
    ours = ProcessPool(2)
    future = ours.submit(not_mine, "x")
    _ = assert_type(future, Future[dict[str, int]])
    return Runtime(pools={"process": 4, "ocr": executor, "page": ours})


async def awaiting_gives_the_value() -> None:
    _ = assert_type(await web("q"), list[int])
    _ = assert_type(await plain(1), str)
    async with Runtime() as runtime:
        value = await runtime.run(web("q"))
        _ = assert_type(value, list[int])


def scripts() -> None:
    value = run(web("q"))
    _ = assert_type(value, list[int])


async def fan_outs() -> None:
    a, b, c = web("q"), score(1), plain(2)
    found = assert_type(await fan_out(a, b, c, need=1, within=2.0), FanIn[list[int] | float | str])
    outcome = found[a]
    _ = assert_type(outcome, Outcome[list[int]])
    _ = assert_type(found[b].value, float)
    _ = assert_type(found[c].value, str)
    _ = assert_type(found["web"].value, list[int] | float | str)
    _ = assert_type(found.ok, Mapping[str, list[int] | float | str])
    _ = assert_type(found.values(), list[list[int] | float | str])
    same = assert_type(await fan_out(*[web("a"), web("b")]), FanIn[list[int]])
    named = assert_type(await fan_out(x=web("a"), y=web("b"), need="50%"), FanIn[list[int]])
    mixed = assert_type(await fan_out(web("a"), awaited(1)), FanIn[list[int] | int])
    _ = same, named, mixed
    inner = fan_out(web("a"), need=1)
    nested = await fan_out(inner, b)
    _ = assert_type(nested, FanIn[FanIn[list[int]] | float])


LOOK = ToolSpec("look", "Look something up.", {"type": "object"})


def yes(answer: Answer[bool]) -> bool:
    return answer.value


async def questions(mine: Model) -> None:
    text, hit = mine.ask("q"), mine.ask("q", output=Hit)
    _ = assert_type(text, Call[Answer[str]])
    _ = assert_type(hit, Call[Answer[Hit]])
    hits = mine.ask("q", output=list[Hit], again=2)
    _ = assert_type(hits, Call[Answer[list[Hit]]])
    either = mine.ask("q", output=int | None)
    _ = assert_type(either, Call[Answer[int | None]])
    tooled, both = mine.ask("q", tools=[LOOK]), mine.ask("q", output=Hit, tools=[LOOK])
    _ = assert_type(tooled, Call[Answer[str]])
    _ = assert_type(both, Call[Answer[Hit | None]])
    mapped = fan_map(mine.ask, ["q"], at_once=2)
    _ = assert_type(mapped, MapCall[Answer[str]])

    def typed(q: str) -> Call[Answer[Hit]]:
        return mine.ask(q, output=Hit)

    typed_answers = fan_map(typed, ["q"], at_once=1)
    _ = assert_type(typed_answers, MapCall[Answer[Hit]])
    raced = first(mine.ask("q", output=int), mine.ask("r", output=int))
    _ = assert_type(raced, Call[Answer[int]])
    voted = vote([mine.ask("q", output=bool)], key=yes)
    _ = assert_type(voted, Call[Vote[Answer[bool]]])
    found = await fan_out(hit, text)
    _ = assert_type(found[hit].value.value, Hit)
    async with mine.using(timeout=2.0).stream("q", output=Hit) as pieces:
        async for piece in pieces:
            _ = assert_type(piece, Text | Part | ToolCall | Answer[object])


async def maps(client: Client) -> None:
    a = assert_type(fan_map(web, ["a"], at_once=2), MapCall[list[int]])
    b = assert_type(fan_map(plain, range(3), at_once=2), MapCall[str])
    c = assert_type(fan_map(client.ask, source(), at_once=2), MapCall[bytes])
    d = assert_type(fan_map(awaited, [1], at_once=2), MapCall[int])
    _ = assert_type(await a, FanIn[list[int]])
    async with fan_map(score, [1, 2], at_once=1).stream() as outcomes:
        async for outcome in outcomes:
            _ = assert_type(outcome.value, float)
    _ = b, c, d


async def letters(text: str) -> AsyncIterator[str]:
    yield text


async def maps_of_streams() -> None:
    a = assert_type(fan_map(letters, ["a"], at_once=2), MapCall[list[str]])
    _ = a


def races() -> None:
    a = assert_type(first(web("a"), web("b"), stagger=(0, 0.1)), Call[list[int]])
    b = assert_type(first(web("a"), web("b"), accept=lambda found: len(found) > 1), Call[list[int]])
    _ = a, b


async def votes() -> None:
    a = assert_type(vote([plain(n) for n in range(8)]), Call[Vote[str]])
    b = assert_type(
        vote([web("q")], key=lambda found: len(found) > 1, wave=None), Call[Vote[list[int]]]
    )
    c = assert_type(vote((plain(n) for n in range(8)), stop_at=None), Call[Vote[str]])
    d = assert_type(vote([awaited(1), awaited(2)]), Call[Vote[int]])
    e = assert_type(vote([plain(1)], key=str.lower), Call[Vote[str]])
    found = await a
    _ = assert_type(found.answer, str)
    _ = assert_type(found.found, FanIn[str])
    _ = assert_type(found.counts["yes"], int)
    _ = assert_type(found.share, float)
    _ = b, c, d, e


def perhaps(number: int) -> Call[str] | None:
    return plain(number) if number else None


def either(number: int) -> Call[str] | str:
    return plain(number) if number else "nothing"


def speculations(client: Client) -> None:
    a = assert_type(speculate(awaited(1), plain, guess=plain(1)), Call[str])
    b = speculate(web("q"), lambda found: plain(len(found)), guess=plain(1))
    _ = assert_type(b, Call[str])
    guesses = [plain(1), plain(2)]
    c = assert_type(speculate(awaited(1), plain, guess=guesses), Call[str])
    d: Call[str | None] = speculate(awaited(1), perhaps, guess=guesses)
    e = assert_type(speculate(awaited(1), either, guess=(plain(1), web("q"))), Call[str])
    f = assert_type(speculate(plain(1), client.ask, guess=client.ask("q")), Call[bytes])
    nested = assert_type(speculate(a, web, guess=web("q")), Call[list[int]])
    bound = assert_type(bind(web, speculate(awaited(1), plain, guess=plain(1))), Call[list[int]])
    _ = c, d, e, f, nested, bound


async def trees() -> None:
    calls = [score(1), score(2)]
    mixed: list[float | Call[float]] = [1.0, score(2)]
    same = await tree_reduce(add, calls, arity=2)
    _ = assert_type(same.value, float)
    of_both = await tree_reduce(add, mixed, arity=2)
    _ = assert_type(of_both, Reduced[float])
    by_key = await tree_reduce(add, calls, arity=2, key=str)
    _ = assert_type(by_key, dict[str, Reduced[float]])


def graphs() -> None:
    a = assert_type(bind(join, web("q"), score(1)), Call[str])
    b = assert_type(bind(join, [1], score(1)), Call[str])
    c = assert_type(bind(score, 1), Call[float])
    d = assert_type(bind(web, bind(plain, 1)), Call[list[int]])
    _ = a, b, c, d


def plain_sum(numbers: list[float]) -> float:
    return sum(numbers)


def undecorated_functions() -> None:
    a = assert_type(fan_map(not_mine, ["a"], at_once=1), MapCall[dict[str, int]])
    b = assert_type(tree_reduce(plain_sum, [1.0], arity=2), Call[Reduced[float]])
    _ = a, b


def mixed_races() -> None:
    race = first(web("q"), score(1))
    _ = assert_type(race, Call[list[int] | float])


async def streams(speaker: Speaker) -> None:
    a = assert_type(tokens("q"), StreamCall[str])
    b = assert_type(numbers("q", most=2), StreamCall[int])
    c = assert_type(speaker.words("q"), StreamCall[bytes])
    d = assert_type(speaker.letters.using(timeout=Timeout(first=1.0))("q"), StreamCall[str])
    e = assert_type(tokens.using(timeout=1.0)("q").named("poem"), StreamCall[str])
    f = assert_type(step(source)(), StreamCall[str])
    g = assert_type(Speaker.words(speaker, "q"), StreamCall[bytes])
    async with a as stream:
        _ = assert_type(stream, Stream[str])
        async for token in stream:
            _ = assert_type(token, str)
    _ = assert_type(await b, list[int])
    _ = c, d, e, f, g


async def streams_are_calls_of_lists(some: StreamStep[[str], str]) -> None:
    text = await tokens("q")
    _ = assert_type(text, list[str])
    found = await fan_out(tokens("a"), some("b"))
    _ = assert_type(found.values(), list[list[str]])
    both = await fan_out(tokens("a"), score(1))
    _ = assert_type(both, FanIn[list[str] | float])
    bound = assert_type(bind(numbers, plain(1)), Call[list[int]])
    after = assert_type(bind(join, numbers("q"), score(1)), Call[str])
    mapped = assert_type(fan_map(tokens, ["a"], at_once=1), MapCall[list[str]])
    raced = assert_type(first(tokens("a"), tokens("b")), Call[list[str]])
    _ = bound, after, mapped, raced


async def pipelines() -> None:
    found = await pipeline([1], stage(score, at_once=2), stage(awaited_float), stage(str))
    assert_type(found, FanIn[str])
    spread = await pipeline(source(), stage(tokens), within=2.0)
    assert_type(spread, FanIn[list[str]])
    undecorated = await pipeline(["a"], stage(letters, buffer=0), need="80%")
    assert_type(undecorated, FanIn[list[str]])
    async with pipeline(["a"], stage(not_mine)).stream() as outcomes:
        async for outcome in outcomes:
            assert_type(outcome, Outcome[dict[str, int]])
    batched = await pipeline([1], stage(awaited), batch(8, linger=0.05), stage(doubled))
    batched.values()


@step(cache=Cache(size=10, ttl=60.0, valid=bool))
async def kept(number: int) -> str:
    return str(number)


async def caches_and_batches(model: Model) -> None:
    _ = assert_type(kept(1), Call[str]), kept.using(cache=None)
    shared = await ask_shared(model, "a text", ["a", Prompt("b")], need="80%", at_once=4)
    assert_type(shared.found, FanIn[Answer[str]])
    _ = assert_type(ask_batch(model, ["a"]), Call[FanIn[Answer[str]]])
    typed = ask_batch(model, ["a"], output=list[int], terms=BatchTerms(on_handle=print))
    assert_type(await typed, FanIn[Answer[list[int]]])
    _ = assert_type(model.batch(["a"]), Call[FanIn[Answer[str]]])
    words = model.batch(["a"], output=Literal["yes", "no"], need="80%", within=3600.0)
    assert_type(await words, FanIn[Answer[Literal["yes", "no"]]])


async def awaited_float(number: float) -> bytes:
    return str(number).encode()


async def doubled(numbers: list[int]) -> list[int]:
    return numbers * 2


async def models(small: Model, large: Model, judge: Model) -> None:
    plain_one = assert_type(ensemble("q", [small, large], judge=judge), Call[Ensemble[str]])
    several = assert_type(ensemble("q", [small], judge=[judge, large]), Call[Ensemble[str]])
    mixed = ensemble("q", [small, large.ask("other q")], judge=judge)
    _ = assert_type(mixed, Call[Ensemble[str]])
    merged = assert_type(ensemble("q", [small, large], aggregate=large), Call[Ensemble[str]])
    calls = assert_type(ask_all([small, large], "q", output=int), list[Call[Answer[int]]])
    words = ask_all([small, large], ["q", "r"], output=Literal["yes", "no"])
    _ = assert_type(words, list[Call[Answer[Literal["yes", "no"]]]])
    typed = await ensemble("q", calls, judge=judge)
    _ = assert_type(typed.answer.value, int)
    voted = await vote(ask_all(small, ["q", "r"]), key=ballot)
    assert_type(voted, Vote[Answer[str]])
    text = assert_type(cascade("q", [small], accept=is_sure), Call[Cascade[str]])
    number = cascade("q", [small, large], accept=is_positive, output=int, stagger=(0, 1.5))
    _ = assert_type(number, Call[Cascade[int]])
    checked = assert_type(cascade("q", [small], accept=judge), Call[Cascade[str]])
    word = cascade("q", [small], accept=is_known, output=Literal["yes", "no", "unsure"])
    _ = assert_type((await word).answer.value, Literal["yes", "no", "unsure"])
    _ = plain_one, several, merged, text, checked


def is_sure(answer: Answer[str]) -> bool:
    return answer.value != "unsure"


def is_known(answer: Answer[Literal["yes", "no", "unsure"]]) -> bool:
    return answer.value != "unsure"


async def is_positive(answer: Answer[int]) -> bool:
    return answer.value > 0


async def routes(small: Model) -> None:
    route = Route({"short": web, "long": web}, by=by_length, default="long")
    _ = assert_type(route("q"), Call[list[int]])
    _ = assert_type(route.choose("q"), Call[Choice])
    by_model = Route({"short": web}, by=small, default="short")
    _ = assert_type(by_model("q"), Call[list[int]])


def by_length(query: str) -> str | None:
    return "short" if len(query) < 10 else None


async def tools_of_models(asked: Model, calls: list[ToolCall]) -> None:
    stream = asked.stream("q", tools=tool_specs([score, letters]))
    turn = await assert_type(run_tools(stream, [score, letters]), Call[Turn])
    assert_type(turn.messages, tuple[Message, ...])
    after = assert_type(run_tools(turn.answer, [score], within=1.0), Call[Turn])
    plain = assert_type(run_tools(calls, [as_tool(score)]), Call[ToolResults])
    told = assert_type(run_tools(Message("assistant", "", tuple(calls)), []), Call[ToolResults])
    _ = after, plain, told
    async with mcp_server(["python", "server.py"]) as server:
        assert_type(server.tools, tuple[Tool, ...])
