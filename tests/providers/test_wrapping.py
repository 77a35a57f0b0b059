"""What is no object travels inside of one, and comes out as it was, however it was cut."""

import json

from hypothesis import given
from hypothesis import strategies as st

from fanwise.providers._ai._wrapping import Unwrapping, as_object, is_object, unwrapped

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)
SPACES = st.sampled_from(["", " ", "\n  "])


def in_pieces(text, cuts):
    """Give what comes out of a text that is cut at these places, and what came before its end."""
    ends = sorted({cut % (len(text) + 1) for cut in cuts})
    unwrapping = Unwrapping()
    told = "".join(
        unwrapping.feed(text[start:end])
        for start, end in zip([0, *ends], [*ends, len(text)], strict=True)
    )
    return told + unwrapping.rest(), told


@given(VALUES, SPACES, st.lists(st.integers(0, 200), max_size=8))
def test_the_value_comes_out_wherever_the_text_is_cut(value, space, cuts):
    inner = json.dumps(value)
    text = f'{space}{{{space}"answer_value"{space}:{space}{inner}{space}}}{space}'
    assert json.loads(in_pieces(text, cuts)[0]) == value
    assert json.loads(unwrapped(text)) == value


@given(VALUES, SPACES, st.lists(st.integers(0, 200), max_size=8))
def test_what_is_not_wrapped_comes_out_as_it_is(value, space, cuts):
    text = space + json.dumps({"other": value})
    assert in_pieces(text, cuts) == (text, text)
    assert unwrapped(text) == text


def test_what_is_not_wrapped_is_not_held_back():
    unwrapping = Unwrapping()
    assert [unwrapping.feed(piece) for piece in (" {", ' "ans', 'wer": 1', "}")] == [
        "", "", ' { "answer": 1', "}",
    ]  # fmt: skip
    assert unwrapping.rest() == ""


def test_a_schema_is_that_of_an_object_afterwards():
    schema = {"type": "array", "items": {"$ref": "#/$defs/Bed"}, "$defs": {"Bed": {"type": "null"}}}
    wrapped = as_object(schema)
    assert is_object(wrapped)
    assert wrapped["$defs"] == schema["$defs"]
    assert as_object(wrapped) == wrapped
