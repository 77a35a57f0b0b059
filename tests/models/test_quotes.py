"""The text contract between a job and a model, and models by name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanwise.models import Passage, Prompt, Quote, Usage, model, read_quotes, write_quotes

WORDS = st.text(st.characters(exclude_categories=("Z", "C")), min_size=1)
SENTENCES = st.lists(WORDS, min_size=1, max_size=6).map("\n".join)


@given(st.lists(st.builds(Quote, st.integers(1, 999), SENTENCES), max_size=8))
def test_what_is_written_is_read(quotes):
    read = read_quotes(write_quotes(quotes))
    assert read.remarks == 0
    assert read.quotes == tuple(Quote(q.passage, " ".join(q.text.split())) for q in quotes)


def test_remarks_are_counted_and_blank_lines_are_not():
    read = read_quotes("Here you are:\n\n[1] One.\n- [2] Two.\n[x] no\n[3]\n")
    assert read.quotes == (Quote(1, "One."), Quote(2, "Two."))
    assert read.remarks == 3


@given(st.text())
def test_any_text_can_be_read(text):
    read = read_quotes(text)
    assert len(read.quotes) + read.remarks == sum(bool(x.strip()) for x in text.splitlines())


def test_a_prompt_numbers_its_passages():
    prompt = Prompt("Why?", (Passage("One.", "a.md", ("Top", "Sub")), Passage("Two.")), "Do so.")
    assert prompt.text() == "Task: Why?\n\nDo so.\n\n[1] (a.md > Top > Sub)\nOne.\n\n[2]\nTwo."
    assert repr(prompt) == "<Prompt 'Why?' over 2 passages>"


def test_usages_add_up_and_stay_estimated():
    assert Usage(1, 2) + Usage(3, 4, estimated=True) == Usage(4, 6, estimated=True)


def test_a_model_is_found_by_its_address():
    assert model("local:extractive").name == "local:extractive"


@pytest.mark.parametrize("address", ["", "local", "nobody:nothing"])
def test_an_unknown_address_names_those_that_are_known(address):
    with pytest.raises(ValueError, match=f"model='{address}' is not known.*local:extractive"):
        model(address)
