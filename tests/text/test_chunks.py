"""Chunks: their borders, their cover, their size, their cost."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanwise.text import bytes_of, chunks, sentences, tokens_estimated
from tests.text.test_sentences import MARKUPS, TEXTS


@pytest.mark.parametrize("markup", MARKUPS)
@given(text=TEXTS, size=st.integers(1, 60))
def test_chunks_cover_everything_once_and_keep_their_size(markup, text, size):
    found = chunks(text, size, markup)
    at = 0
    for chunk in found:
        assert at <= chunk.start < chunk.end
        assert not text[at : chunk.start].strip().strip("\ufeff")
        piece = text[chunk.start : chunk.end]
        assert piece.strip() == piece
        assert chunk.tokens == tokens_estimated(piece)
        assert chunk.tokens <= size or len(piece) == 1
        at = chunk.end
    assert not text[at:].strip().strip("\ufeff")


@pytest.mark.parametrize("markup", MARKUPS)
@given(text=TEXTS, size=st.integers(1, 60))
def test_a_sentence_is_only_cut_when_it_alone_is_too_large(markup, text, size):
    borders = {chunk.start for chunk in chunks(text, size, markup)}
    for sentence in sentences(text, markup):
        if bytes_of(text[sentence.start : sentence.end]) <= 4 * size:
            assert not borders & set(range(sentence.start + 1, sentence.end))


def test_borders_are_headings_first():
    body = "Some words stand here. " * 6
    text = "".join(f"# Part {n}\n\n{body.strip()}\n\n" for n in range(6))
    found = chunks(text, 80, "markdown")
    assert [text[c.start : c.end].splitlines()[0] for c in found] == [
        "# Part 0", "# Part 2", "# Part 4"
    ]  # fmt: skip
    assert [c.heading for c in found] == [("Part 0",), ("Part 2",), ("Part 4",)]


def test_a_section_that_does_not_fit_starts_a_chunk_of_its_own():
    text = f"{'Fill this up. ' * 4}\n\n# Next\n\nOne paragraph here.\n\n{'More of it. ' * 6}\n"
    found = chunks(text, 30, "markdown")
    assert text[found[1].start :].startswith("# Next")


def test_then_paragraphs_then_sentences_then_words():
    text = "Alpha one. Beta two.\n\nGamma three. Delta four.\n"
    assert [text[c.start : c.end] for c in chunks(text, 7)] == [
        "Alpha one. Beta two.", "Gamma three. Delta four."
    ]  # fmt: skip
    assert [text[c.start : c.end] for c in chunks(text, 4)] == [
        "Alpha one.", "Beta two.", "Gamma three.", "Delta four."
    ]  # fmt: skip
    words = "Alpha one and more"
    assert [words[c.start : c.end] for c in chunks(words, 2)] == ["Alpha", "one and", "more"]


def test_a_heading_is_not_left_alone_at_the_end():
    text = "A short start.\n\n# Next\n\n" + "More words follow here now. " * 4
    found = [text[chunk.start : chunk.end] for chunk in chunks(text, 30, "markdown")]
    assert found == ["A short start.", text[16:].strip()]


def test_a_word_over_the_size_is_cut_between_characters():
    found = chunks("x" * 100, 5)
    assert [c.end - c.start for c in found] == [20] * 5


@pytest.mark.parametrize("size", [0, -1])
def test_a_size_below_one_is_refused(size):
    with pytest.raises(ValueError, match=f"size_tokens={size} is too small"):
        chunks("text", size)


def test_the_estimate_counts_bytes():
    assert tokens_estimated("") == 0
    assert tokens_estimated("abcd") == 1
    assert tokens_estimated("abcde") == 2
    assert tokens_estimated("漢字") == 2


def test_cost_is_linear():
    def seconds(pieces):
        text = ("# Head\n\n" + "Some words here. And more of them. " * 20 + "\n\n") * pieces
        start = time.process_time()
        chunks(text, 200, "markdown")
        return time.process_time() - start

    small = min(seconds(50) for _ in range(3))
    assert min(seconds(400) for _ in range(2)) < 40 * small + 0.05
