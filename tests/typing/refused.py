"""What each checker must refuse: at the end of the line, the rules by which they do."""

from collections.abc import AsyncIterator

from fanwise import (
    Call,
    Runtime,
    Timeout,
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
from fanwise.models import Answer, Model, Route, cascade, ensemble


@step
async def web(query: str) -> list[int]:
    return [len(query)]


@step(timeout=1.0)
async def add(numbers: list[float]) -> float:
    return sum(numbers)


class Client:
    @step
    async def ask(self, query: str) -> bytes:
        return query.encode()


async def calls(client: Client, runtime: Runtime) -> None:
    await web(1)  # mypy: arg-type  # pyright: reportArgumentType
    await web()  # mypy: call-arg  # pyright: reportCallIssue
    await web("q", "r")  # mypy: call-arg  # pyright: reportCallIssue
    await web(question="q")  # mypy: call-arg  # pyright: reportCallIssue
    await client.ask(1)  # mypy: arg-type  # pyright: reportArgumentType
    await client.ask("q", 2)  # mypy: call-arg  # pyright: reportCallIssue
    await web.using(patience=1)("q")  # mypy: call-arg  # pyright: reportCallIssue
    Runtime(pools={"process": "4"})  # mypy: dict-item  # pyright: reportArgumentType
    await runtime.run("q")  # mypy: arg-type  # pyright: reportArgumentType
    run(web)  # mypy: arg-type  # pyright: reportArgumentType


async def questions(mine: Model) -> None:
    mine.ask("q", output=int)  # mypy: unused-awaitable
    await mine.ask(1)  # mypy: call-overload  # pyright: reportArgumentType
    await mine.ask("q", again=1)  # mypy: call-overload  # pyright: reportCallIssue
    wrong: Answer[str] = await mine.ask("q", output=int)  # mypy: arg-type  # pyright: reportAssignmentType
    _ = wrong


async def a_call_that_nobody_awaits() -> None:
    web("q")  # mypy: unused-awaitable
    fan_out(web("q"))  # mypy: unused-awaitable
    fan_map(web, ["q"], at_once=1)  # mypy: unused-awaitable


async def values() -> None:
    wrong: str = await web("q")  # mypy: assignment  # pyright: reportAssignmentType
    narrower: Call[list[bool]] = web("q")  # mypy: assignment  # pyright: reportAssignmentType
    found = await fan_out(web("q"), add([1.0]))
    first_of: int = found["web"].value  # mypy: assignment  # pyright: reportAssignmentType
    found["web"].value.append(1)  # mypy: union-attr  # pyright: reportAttributeAccessIssue
    found[0]  # mypy: call-overload  # pyright: reportArgumentType reportCallIssue
    _ = wrong, narrower, first_of


async def patterns(client: Client) -> None:
    await fan_out(3)  # mypy: call-overload  # pyright: reportArgumentType reportCallIssue
    await fan_out(web)  # mypy: call-overload  # pyright: reportArgumentType reportCallIssue
    await fan_map(web, ["q"])  # mypy: call-overload  # pyright: reportCallIssue
    await fan_map(web, [1], at_once=1)  # mypy: arg-type  # pyright: reportArgumentType reportCallIssue
    await fan_map(client.ask, [1], at_once=1)  # mypy: arg-type  # pyright: reportArgumentType reportCallIssue
    await first(3)  # mypy: call-overload  # pyright: reportArgumentType
    await vote(web("q"))  # mypy: call-overload  # pyright: reportArgumentType reportCallIssue
    await vote(web("q"), web("r"))  # mypy: call-overload  # pyright: reportCallIssue
    await vote([3])  # mypy: arg-type  # pyright: reportArgumentType reportCallIssue
    await vote([score(3)], key=len)  # mypy: arg-type  # pyright: reportArgumentType reportCallIssue
    await speculate(web("q"), score)  # mypy: call-overload  # pyright: reportCallIssue
    await speculate(web("q"), web, guess=web("q"))  # mypy: arg-type  # pyright: reportArgumentType reportCallIssue
    await speculate(score(1), join, guess=web("q"))  # mypy: arg-type  # pyright: reportArgumentType reportCallIssue
    await speculate(web("q"), add, guess=3)  # mypy: call-overload  # pyright: reportArgumentType reportCallIssue
    await tree_reduce(add, ["q"], arity=2)  # mypy: arg-type  # pyright: reportArgumentType reportCallIssue


@step
async def score(number: int, unit: str = "s") -> float:
    return float(f"{number}{unit}")


@step
async def join(pages: list[int], total: float) -> str:
    return f"{pages} {total}"


async def bound_to_the_wrong_arguments(client: Client) -> None:
    await bind(join, score(1), web("q"))  # mypy: arg-type  # pyright: reportArgumentType
    await bind(join, web("q"))  # mypy: arg-type  # pyright: reportArgumentType
    await bind(score, "x")  # mypy: arg-type  # pyright: reportArgumentType
    await bind(client.ask, 3)  # mypy: arg-type  # pyright: reportArgumentType


@step(patience=1)  # mypy: call-overload untyped-decorator  # pyright: reportCallIssue
async def misspelt() -> None: ...


@step(pool=3)  # mypy: call-overload untyped-decorator  # pyright: reportArgumentType
def a_number() -> None: ...


@step(timeout="1")  # mypy: call-overload untyped-decorator  # pyright: reportArgumentType
async def a_text() -> None: ...


@step
async def tokens(prompt: str) -> AsyncIterator[str]:
    yield prompt


async def streams() -> None:
    tokens(1)  # mypy: arg-type unused-awaitable  # pyright: reportArgumentType
    tokens("q")  # mypy: unused-awaitable
    async with tokens("q") as stream:
        number: int = await anext(stream)  # mypy: arg-type  # pyright: reportAssignmentType
    text: str = await tokens("q")  # mypy: assignment  # pyright: reportAssignmentType
    async for _ in tokens("q"):  # mypy: attr-defined  # pyright: reportGeneralTypeIssues
        pass
    Timeout(1.0, last=1.0)  # mypy: call-arg  # pyright: reportCallIssue
    _ = number, text


async def models(small: Model) -> None:
    ensemble("q", [small], judge=small)  # mypy: unused-awaitable
    await ensemble("q", [small])  # mypy: call-overload  # pyright: reportCallIssue
    await ensemble("q", [web], judge=small)  # mypy: list-item  # pyright: reportArgumentType reportCallIssue
    await cascade("q", [small], accept=len)  # mypy: arg-type  # pyright: reportArgumentType
    await cascade("q", [small])  # mypy: call-overload  # pyright: reportCallIssue
    route = Route({"web": web}, by=small, default="web")
    await route(1)  # mypy: arg-type  # pyright: reportArgumentType
    text: str = await route("q")  # mypy: assignment  # pyright: reportAssignmentType
    _ = text


@step(cache=60)  # mypy: call-overload untyped-decorator  # pyright: reportArgumentType
async def a_length_of_time() -> None: ...
