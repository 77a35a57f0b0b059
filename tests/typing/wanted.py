"""What the checkers should accept and refuse, and do not yet."""

from typing import assert_type

from fanwise import Call, bind, fan_map, first, step, tree_reduce
from fanwise.patterns import MapCall, Reduced


@step
async def web(query: str) -> list[int]:
    return [len(query)]


@step
async def score(number: int, unit: str = "s") -> float:
    return float(f"{number}{unit}")


@step
async def join(pages: list[int], total: float) -> str:
    return f"{pages} {total}"


class Client:
    @step
    async def ask(self, query: str) -> bytes:
        return query.encode()


def plain(text: str) -> dict[str, int]:
    return {text: 1}


def plain_sum(numbers: list[float]) -> float:
    return sum(numbers)


async def bound_to_the_wrong_arguments(client: Client) -> None:
    await bind(join, score(1), web("q"))  # mypy: arg-type  # pyright: reportArgumentType
    await bind(join, web("q"))  # mypy: arg-type  # pyright: reportArgumentType
    await bind(score, "x")  # mypy: arg-type  # pyright: reportArgumentType
    await bind(client.ask, 3)  # mypy: arg-type  # pyright: reportArgumentType


def undecorated_functions() -> None:
    a = assert_type(fan_map(plain, ["a"], at_once=1), MapCall[dict[str, int]])
    b = assert_type(tree_reduce(plain_sum, [1.0], arity=2), Call[Reduced[float]])
    _ = a, b


def mixed_races() -> None:
    race = first(web("q"), score(1))
    _ = assert_type(race, Call[list[int] | float])
