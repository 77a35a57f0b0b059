"""What a journal keeps comes back as it was, or is refused by name."""

import asyncio
import math
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum, StrEnum
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, PrivateAttr

from fanwise import Call, fan_out, step
from fanwise.core._failures import causes_of, failure_data, failure_of_data, was_not_done
from fanwise.errors import (
    NotDone,
    NotEnough,
    NotStorable,
    ProgramChanged,
    RecordedFailure,
    StepTimedOut,
)
from fanwise.stores._plain_data import decode_plain, encode_plain
from fanwise.stores._result_codec import codec_of, returned

T = TypeVar("T")


class Pair(NamedTuple):
    a: Any
    b: Any


class Colour(Enum):
    RED = 1


class Word(StrEnum):
    YES = "yes"


class Row(NamedTuple):
    n: int
    text: str = ""


@dataclass
class Point:
    x: int
    more: list[Any] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Frozen(Generic[T]):
    value: T


@dataclass
class Grown:
    x: int

    def __post_init__(self):
        self.extra = 1


class Model(BaseModel):
    name: str
    when: datetime | None = None


class Secret(BaseModel):
    _hidden: int = PrivateAttr(default=1)


class Odd:
    pass


DATA = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
    | st.binary() | st.decimals(allow_nan=False) | st.uuids() | st.datetimes() | st.dates()
    | st.timedeltas() | st.sampled_from([Colour.RED, Word.YES]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3)
        | st.builds(Point, st.integers(), st.lists(inner, max_size=2))
        | st.builds(Frozen, inner)
        | st.builds(Pair, inner, inner)
        | st.frozensets(st.integers(), max_size=3)
    ),
    max_leaves=8,
)  # fmt: skip


def alike(a, b):
    """Equal, with equal types all the way down."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(
            alike(x, y) for x, y in zip(a.values(), b.values(), strict=True)
        )
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(alike, a, b))
    if isinstance(a, Point):
        return a.x == b.x and alike(a.more, b.more)
    if isinstance(a, Frozen):
        return alike(a.value, b.value)
    return a == b


@given(DATA)
def test_data_comes_back_as_it_was(value):
    assert alike(decode_plain(encode_plain(value)), value)


@pytest.mark.parametrize(
    "value",
    [
        Model(name="a"),
        Model(name="a", when=datetime(2026, 1, 1, tzinfo=UTC)),
        [Model(name="a")],
        Row(1),
        Path("a/b"),
        "\ud800",
        math.inf,
        10**4000,
        {"__tuple__": 1},
        ["t", 1],
        UUID(int=1),
        Decimal("1.10"),
        date(2026, 1, 1),
        timedelta(days=-1, microseconds=1),
    ],
)
def test_more_comes_back_as_it_was(value):
    back = decode_plain(encode_plain(value))
    assert type(back) is type(value)
    assert back == value
    if isinstance(value, Model):
        assert back.model_fields_set == value.model_fields_set


def test_no_code_of_a_class_runs_when_it_is_read():
    ran = []

    class Noisy:
        pass

    @dataclass
    class Loud:
        x: int

        def __post_init__(self):
            ran.append(1)

    globals()["Loud"] = Loud
    Loud.__qualname__ = "Loud"
    data = encode_plain(Loud(1))
    ran.clear()
    assert decode_plain(data) == Loud(1)
    assert ran == [1]  # by the one in this assertion


@pytest.mark.parametrize(
    "value", [Odd(), Grown(1), Secret(), lambda: 1, iter([]), [Odd()], {1: Odd()}]
)
def test_what_has_more_than_its_fields_has_no_plain_form(value):
    assert encode_plain(value) is None


@pytest.mark.parametrize(
    "data",
    [
        b'q["o","nowhere:Gone",{}]',
        b'q["o","os:system",{}]',
        b'q["o","%b:Point",{"x":1}]' % __name__.encode(),
        b'q["e","%b:Colour","BLUE"]' % __name__.encode(),
        b'q["n","%b:Row",1]' % __name__.encode(),
    ],
)
def test_a_class_that_is_not_as_it_was_is_told(data):
    with pytest.raises(ProgramChanged, match="is not loaded here, or has other fields than it had"):
        decode_plain(data)


def test_what_is_endless_is_refused_by_name():
    endless = []
    endless.append(endless)

    @step
    async def makes():
        return endless

    with pytest.raises(NotStorable, match="makes gives a value that cannot be written"):
        codec_of(makes).encode(endless)


# By annotation


def test_another_type_goes_by_the_annotation_and_is_read_back():
    @step
    async def makes() -> Grown:
        return Grown(1)

    codec = codec_of(makes)
    back = codec.decode(codec.encode(Grown(1)))
    assert (back.x, back.extra) == (1, 1)
    with pytest.raises(NotStorable, match=r"makes gives a Odd that is no Grown"):
        codec.encode(Odd())


def test_what_does_not_come_back_equal_is_refused():
    class Base(BaseModel):
        x: int

    class More(Base):
        y: int
        _hidden: int = PrivateAttr(default=0)

    @step
    async def makes() -> Base:
        return Base(x=1)

    with pytest.raises(NotStorable, match="does not come back as it was"):
        codec_of(makes).encode(More(x=1, y=2))


def test_the_type_of_what_is_awaited_counts():
    async def plain() -> int: ...
    async def items():
        yield 1

    async def typed() -> "asyncio.Future[str]": ...
    def call() -> Call[bytes]: ...
    def unknown() -> "Nowhere": ...  # noqa: F821

    assert returned(plain) is int
    assert returned(typed) is str
    assert returned(call) is bytes
    assert type(returned(unknown)).__name__ == "Unknown"


# Failures


class Refused(Exception):
    def __init__(self, code):
        super().__init__(code)
        self.status_code = code


class Crooked(Exception):
    def __new__(cls, *args):
        raise AssertionError("code that ran")


@pytest.mark.parametrize(
    "error",
    [ValueError("x"), OSError(2, "no"), KeyError("k"), Refused(402), NotDone("n"), TimeoutError(),
     UnicodeDecodeError("utf-8", b"a", 0, 1, "no")],
)  # fmt: skip
def test_an_error_comes_back_as_its_class(error):
    back = failure_of_data(failure_data(error), 3)
    whole = not isinstance(error, UnicodeDecodeError)  # its bytes are no atom
    assert type(back) is (type(error) if whole else RecordedFailure)
    if whole:
        assert (str(back), back.args, vars(back)) == (str(error), error.args, vars(error))


def test_a_timeout_is_that_of_the_new_call():
    assert failure_of_data(failure_data(StepTimedOut("late", 7)), 3).call == 3


def test_nothing_is_imported_and_nothing_runs():
    data = failure_data(ValueError("x")).replace(b"builtins:ValueError", b"antigravity:Error")
    back = failure_of_data(data, None)
    assert type(back) is RecordedFailure
    assert str(back) == "Error: x"
    crooked = failure_data(ValueError("x")).replace(
        b"builtins:ValueError", f"{__name__}:Crooked".encode()
    )
    assert type(failure_of_data(crooked, None)) is RecordedFailure


def test_not_done_is_known_by_its_data():
    assert was_not_done(failure_data(NotDone("n")))
    assert not was_not_done(failure_data(ValueError("n")))


async def test_causes_are_followed_wherever_they_hide():
    one, other = LookupError("a"), LookupError("b")

    @step
    async def fails(error):
        raise error

    with pytest.raises(NotEnough) as caught:
        await fan_out(fails(one), fails(other), need=1)
    try:
        try:
            raise caught.value
        except NotEnough:
            raise OSError("around")  # noqa: B904 - its context is what is looked for
    except OSError as error:
        found = causes_of(ExceptionGroup("all", [error]))
    assert {id(one), id(other), id(caught.value)} <= found
