"""JSON read while it is written agrees with `json`, however the text is cut."""

import json
import time
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fanwise.models._json_reader import JsonReader

NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=20,
)


def pieces(text: str, cuts: list[int]) -> Iterator[str]:
    """Cut a text at the places given, each taken modulo its length."""
    places = [0, *sorted(cut % (len(text) + 1) for cut in cuts), len(text)]
    return (text[start:end] for start, end in pairwise(places))


def parts_of(
    value: object, depth: int, path: tuple[str | int, ...] = ()
) -> Iterator[tuple[tuple[str | int, ...], object]]:
    """Name every part of a value, inner ones first."""
    keyed = value.items() if isinstance(value, dict) else enumerate(value)  # type: ignore[arg-type]
    for key, inner in keyed:
        here = (*path, key)
        if len(here) < depth and isinstance(inner, dict | list):
            yield from parts_of(inner, depth, here)
        yield here, inner


def read(text: str, cuts: list[int], depth: int = 1) -> tuple[JsonReader, list[object]]:
    """Read a whole text in pieces."""
    reader = JsonReader(depth)
    found: list[object] = []
    for piece in pieces(text, cuts):
        found += reader.feed(piece)
    reader.end()
    return reader, found


@given(VALUES, st.lists(st.integers(0, 10_000)), st.booleans(), st.sampled_from([None, 0, 2]))
@example('é\U0001f600\\"/\n', list(range(60)), True, None)
@example(12345, [1, 2, 3], True, None)
@example([{}, [], {"": [[]]}], list(range(60)), True, 2)
def test_the_value_is_that_of_json(
    value: object, cuts: list[int], ascii_only: bool, indent: int | None
) -> None:
    """Any value, cut anywhere (in escapes, numbers, words), escaped or not, spaced or not."""
    reader, _ = read(json.dumps(value, ensure_ascii=ascii_only, indent=indent), cuts)
    assert reader.error is None
    assert reader.complete
    assert reader.value == value
    assert json.dumps(reader.value) == json.dumps(value)


@given(
    st.dictionaries(st.text(), VALUES, max_size=5) | st.lists(VALUES, max_size=5),
    st.lists(st.integers(0, 10_000)),
    st.integers(1, 4),
)
def test_each_part_is_told_once_and_inner_ones_first(
    value: object, cuts: list[int], depth: int
) -> None:
    """The parts down to a depth are those of the whole value, in the order of their ends."""
    _, found = read(json.dumps(value), cuts, depth)
    assert found == list(parts_of(value, depth))


@given(st.dictionaries(st.text(), VALUES, max_size=5))
def test_an_object_is_whole_with_its_brace_and_never_before(value: dict[str, object]) -> None:
    """After each character but the last it is incomplete, and no part comes late."""
    reader = JsonReader()
    text = json.dumps(value)
    for character in text[:-1]:
        reader.feed(character)
        assert not reader.complete
    reader.feed(text[-1])
    assert reader.complete


@given(st.text(alphabet=st.sampled_from(list('{}[]",:\\u0159truefalsn -+.eE\n\x01')), max_size=30))
@example('{"a":1,}')
@example("[1,]")
@example("[,1]")
@example('{"a" 1}')
@example('"\\u12"')
@example('"\x01"')
@example("01")
@example("1.")
@example("-")
@example("tru")
@example("{]")
@example("1 2")
@example('{"a":1} x')
def test_what_json_refuses_is_an_error(text: str) -> None:
    """A text is whole without an error if and only if `json` reads it, to the same value."""
    reader, _ = read(text, list(range(30)))
    try:
        wanted = json.loads(text)
    except ValueError:
        assert reader.error is not None
        assert not reader.complete
        return
    assert reader.error is None
    assert reader.value == wanted


def test_a_field_is_told_before_the_object_ends() -> None:
    """A string ends with its quote; a number only with what comes after it."""
    reader = JsonReader()
    assert reader.feed('{"city": "Os') == []
    assert reader.feed('lo"') == [(("city",), "Oslo")]
    assert reader.feed(', "days": 1') == []
    assert reader.feed("2}") == [(("days",), 12)]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Hello", "a JSON value expected, found 'H' (at character 0)"),
        ('{"a": 1 "b"', "',' or '}' expected, found '\"' (at character 8)"),
        ("[" * 101, "more than 100 containers inside each other (at character 100)"),
        ("[NaN]", "a JSON value expected, found 'N' (at character 1)"),
        ("[nul]", "'nul' is neither a number nor true, false or null (at character 1)"),
        ('{"a"', "the text ends before the value does (at character 4)"),
        ("", "the text ends before the value does (at character 0)"),
        ("9" * 5000, "Exceeds the limit"),
    ],
)
def test_an_error_says_what_and_where(text: str, told: str) -> None:
    """The error names the place in the whole text, and nothing is read after it."""
    reader, _ = read(text, [1])
    assert told in str(reader.error)
    assert reader.feed('{"a": 1}') == []
    assert not reader.complete


def seconds(length: int) -> float:
    """Give the processor time of reading a string and a list of `length`, in threes."""
    text = json.dumps({"text": "x" * length, "list": list(range(length // 8))})
    started = time.process_time()
    reader = JsonReader(2)
    for at in range(0, len(text), 3):
        reader.feed(text[at : at + 3])
    assert reader.complete
    return time.process_time() - started


def test_the_cost_is_linear() -> None:
    """Eight times the text costs about eight times as much; joining anew would cost 64 times."""
    small, large = (min(seconds(length) for _ in range(3)) for length in (20_000, 160_000))
    assert large < 24 * small
