"""Stems and terms."""

import pytest

from fanwise.text import STOP_WORDS, stem, terms


@pytest.mark.parametrize(
    "forms",
    [
        "exception exceptions",
        "handle handled handles handling",
        "propose proposes proposed proposing",
        "class classes",
        "retry retries retried",
        "stop stopped stopping stops",
        "0492 492",
    ],
)
def test_forms_of_a_word_have_one_stem(forms):
    assert len({stem(word) for word in forms.split()}) == 1


@pytest.mark.parametrize("pair", ["sing sling", "organ organisation", "this the", "bus bu"])
def test_other_words_keep_apart(pair):
    first, second = pair.split()
    assert stem(first) != stem(second)


def test_terms_leave_stop_words_out_and_keep_the_order():
    assert terms("The call is NOT retried by the caller's code_path.") == [
        "call", "retri", "caller", "cod", "path"
    ]  # fmt: skip
    assert not terms(" ".join(STOP_WORDS))
