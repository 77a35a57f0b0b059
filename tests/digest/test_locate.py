"""A quote is found where it stands, and nowhere else."""

from hypothesis import given
from hypothesis import strategies as st

from fanwise.digest._locate import locate

BLANKS = st.sampled_from([" ", "\n", "  ", "\r\n", "\t"])
WORDS = st.lists(st.sampled_from(["a", "ab", "b", "a.", "é"]), min_size=1, max_size=5)


def normal(text):
    return " ".join(text.split())


@given(
    st.lists(st.tuples(st.sampled_from(["a", "ab", "b", "a.", "é"]), BLANKS), max_size=12), WORDS
)
def test_it_agrees_with_a_search_in_the_normalised_text(pieces, words):
    text = "".join(word + blank for word, blank in pieces)
    quote = " ".join(words)
    place = locate(quote, text)
    assert (place is not None) == (quote in normal(text))
    if place is not None:
        assert normal(text[place[0] : place[1]]) == quote


def test_the_exact_text_is_preferred():
    assert locate("a b", "a\nb a b") == (4, 7)


def test_what_does_not_stand_there_has_no_place():
    assert locate("a c", "a b c") is None
    assert locate("", "text") is None
    assert locate(" \n", "text") is None
    assert locate("a b", "ab") is None
