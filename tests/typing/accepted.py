"""What both checkers must accept, with exactly these types.

Mypy gives `assert_type(f(x), ...)` to a generic `f` as a context, so results have a name first.
"""

from collections.abc import AsyncIterator, Mapping
from typing import assert_type

from fanwise import (
    Call,
    FanIn,
    Hedge,
    Outcome,
    Retry,
    Runtime,
    Step,
    bind,
    fan_map,
    fan_out,
    first,
    run,
    speculate,
    step,
    tree_reduce,
    vote,
)
from fanwise.patterns import MapCall, Reduced, Vote


@step
async def web(query: str) -> list[int]:
    return [len(query)]


@step(timeout=1.0, retry=Retry(attempts=2), hedge=Hedge(after=0.1), limit="x")
async def score(number: int, unit: str = "s") -> float:
    return float(f"{number}{unit}")


@step
def plain(number: int) -> str:
    return str(number)


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


def calls_know_their_type() -> None:
    a = assert_type(web("q"), Call[list[int]])
    b = assert_type(score(1), Call[float])
    c = assert_type(score(1, unit="m"), Call[float])
    d = assert_type(plain(1), Call[str])
    e = assert_type(step(not_mine)("x"), Call[dict[str, int]])
    f = assert_type(web.using(timeout=1.0)("q"), Call[list[int]])
    g = assert_type(web("q").named("search"), Call[list[int]])
    _ = a, b, c, d, e, f, g


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
