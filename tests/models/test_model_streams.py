"""Answers read while they are written: pieces, parts, tool calls; broken off and let go."""

import asyncio
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanwise import Retry, Runtime, step
from fanwise.models import (
    Answer,
    Counted,
    Ended,
    MalformedAnswer,
    Model,
    Part,
    Text,
    ToolBegun,
    ToolCall,
    ToolText,
    Usage,
    model,
)
from fanwise.testing import no_orphans, run_virtual
from tests.models.fakes import Scripted, Speaking, ended


@dataclass
class Found:
    hits: list[str]
    sure: bool


def read(provider, take=None, output=None, **more):
    """Read a stream, at most `take` pieces; give (second, piece) pairs or the error, and its row."""

    async def main():
        async with no_orphans(), Runtime(seed=1) as runtime:
            pieces = []

            @step
            async def reader():
                async with Model(provider).using(**more).stream("x" * 40, output=output) as stream:
                    async for piece in stream:
                        pieces.append((asyncio.get_running_loop().time(), piece))
                        if len(pieces) == take:
                            break

            run = runtime.start(reader())
            try:
                await run.wait()
            except Exception as error:
                pieces.append(error)
            row = next(row for row in run.record().calls if row.step == provider.name)
            return pieces, row

    return run_virtual(main())


def used(row):
    return (row.usage.get("tokens_in"), row.usage.get("tokens_out"), row.facts.get("estimated"))


def test_pieces_come_as_they_are_written_and_the_answer_last():
    provider = Speaking(Text("one "), Text("two"), ended())
    pieces, row = read(provider)
    assert pieces[:2] == [(1.0, Text("one ")), (2.0, Text("two"))]
    time, answer = pieces[2]
    assert (time, answer) == (3.0, Answer("one two", Usage(10, 5), "fake:speaking-1", "one two"))
    assert (used(row), row.facts["model"]) == ((10, 5, None), "fake:speaking-1")
    assert (provider.opened, provider.closed) == (1, 1)


def test_parts_of_a_typed_answer_come_when_they_are_whole():
    provider = Speaking(Text('{"hits": ["a", "b'), Text('"], "sure": '), Text("true}"), ended())
    pieces, _ = read(provider, output=Found)
    parts = [(time, piece.path, piece.value) for time, piece in pieces if isinstance(piece, Part)]
    assert parts == [
        (1.0, ("hits", 0), "a"),
        (2.0, ("hits", 1), "b"),
        (2.0, ("hits",), ["a", "b"]),
        (3.0, ("sure",), True),
    ]
    assert pieces[-1][1].value == Found(["a", "b"], sure=True)


@given(st.lists(st.integers(1, 40), max_size=8))
def test_parts_do_not_depend_on_where_the_text_was_cut(cuts):
    text = '{"hits": ["a", "b", "ü \\u00e9"], "sure": false}'
    pieces, at = [], 0
    for cut in cuts:
        pieces.append(Text(text[at : at + cut]))
        at += cut
    read_whole = [p for _, p in read(Speaking(Text(text), ended()), output=Found)[0]]
    read_cut = [p for _, p in read(Speaking(*pieces, Text(text[at:]), ended()), output=Found)[0]]
    parts = [[p for p in each if isinstance(p, Part)] for each in (read_whole, read_cut)]
    assert parts[0] == parts[1]
    assert len(parts[0]) == 5
    assert read_whole[-1].value == read_cut[-1].value


def test_a_tool_call_comes_when_its_arguments_are_whole():
    provider = Speaking(
        ToolBegun(0, "a", "look"),
        ToolText(0, '{"at": '),
        ToolText(0, '"}"}'),
        ToolBegun(1, "b", "stop"),
        ended(finish="tools"),
    )
    pieces, _ = read(provider)
    look, stop = ToolCall("a", "look", {"at": "}"}), ToolCall("b", "stop", {})
    assert pieces[:2] == [(3.0, look), (5.0, stop)], "one with no arguments at all ends at the end"
    assert pieces[2][1].calls == (look, stop)
    assert pieces[2][1].complete


def test_calls_stand_in_the_order_of_the_message():
    provider = Speaking(
        ToolBegun(0, "a", "one"), ToolBegun(1, "b", "two"),
        ToolText(1, "{}"), ToolText(0, "{}"), ended(finish="tools"),
    )  # fmt: skip
    pieces, _ = read(provider)
    assert [piece.id for _, piece in pieces[:2]] == ["b", "a"]
    assert [call.id for call in pieces[2][1].calls] == ["a", "b"]


@pytest.mark.parametrize("text", ["[1]", '{"at": ', "nonsense", '{"at": 1'])
def test_arguments_that_are_no_object_are_handed_over_as_text(text):
    pieces, _ = read(Speaking(ToolBegun(0, "a", "look"), ToolText(0, text), ended()))
    (call,) = pieces[-1][1].calls
    assert (call.arguments, call.broken) == ({}, text)


def test_a_provider_without_pieces_gives_its_answer_as_one():
    call = ToolCall("1", "look", {"at": "it"})
    answer = Answer("said", Usage(3, 2), "fake:scripted", "said", (call,), "tools")
    pieces, row = read(Scripted(answer))
    assert [piece for _, piece in pieces] == [Text("said"), call, answer]
    assert used(row) == (3, 2, None)


# ---------------------------------------------------------------------------- broken, let go


def test_a_stream_that_is_left_is_closed_once_and_estimated():
    provider = Speaking(Text("x" * 20), Text("y" * 20), Text("never"), ended())
    pieces, row = read(provider, take=1)
    assert len(pieces) == 1
    assert (provider.opened, provider.closed) == (1, 1)
    assert used(row)[0] == 10, "the question's forty characters"
    assert used(row)[1] in (5, 10), "one piece may have been made ahead"
    assert used(row)[2] is True


def test_what_the_provider_counted_before_is_kept():
    provider = Speaking(Counted(Usage(77, 1, cached=70)), Text("x" * 40), Text("never"), ended())
    _, row = read(provider, timeout=2.5)
    assert used(row) == (77, 10, True)
    assert row.usage["cached"] == 70


def test_a_stream_that_breaks_has_a_price_too():
    provider = Speaking(Text("x" * 40), ConnectionError("reset"))
    pieces, row = read(provider)
    assert isinstance(pieces[-1], ConnectionError)
    assert used(row) == (10, 10, True)
    assert provider.closed == 1


def test_a_stream_that_stops_without_a_word_is_cut():
    pieces, row = read(Speaking(Text("x" * 40)))
    answer = pieces[-1][1]
    assert (answer.finish, answer.complete, answer.model) == ("cut", False, "fake:speaking")
    assert used(row) == (10, 10, True)


def test_an_end_without_counts_is_estimated():
    pieces, row = read(Speaking(Text("x" * 40), Ended(None, "stop", "fake:other")))
    assert pieces[-1][1].usage == Usage(10, 10, estimated=True)
    assert (used(row), row.facts["model"]) == ((10, 10, True), "fake:other")


def test_tool_calls_that_were_being_written_count():
    provider = Speaking(ToolBegun(0, "a", "look"), ToolText(0, "x" * 36), ConnectionError("reset"))
    _, row = read(provider)
    assert used(row) == (10, 10, True)


def test_a_typed_answer_that_was_cut_is_not_read():
    provider = Speaking(Text('{"hits": ["a"], "sure": true}'), ended(finish="length"))
    pieces, row = read(provider, output=Found)
    assert isinstance(pieces[-1], MalformedAnswer)
    assert "it was cut at the model's own bound" in str(pieces[-1])
    assert used(row) == (10, 5, None), "it was paid for"


def test_a_typed_answer_that_does_not_fit_is_said():
    pieces, _ = read(Speaking(Text('{"hits": 3}'), ended()), output=Found)
    assert isinstance(pieces[-1], MalformedAnswer)
    assert "hits: Input should be a valid array" in str(pieces[-1])


def test_a_stream_that_broke_before_its_first_piece_is_retried_and_each_try_counts():
    class Twice(Speaking):
        async def pieces(self, request):
            async for piece in super().pieces(request):
                if self.opened == 1:
                    raise ConnectionError("reset")
                yield piece

    provider = Twice(Text("x" * 40), ended())
    pieces, row = read(provider, retry=Retry(attempts=2, shortest=1, longest=1))
    assert pieces[-1][1].text == "x" * 40
    assert (provider.opened, provider.closed, row.attempts) == (2, 2, 2)
    assert used(row) == (10 + 10, 5, True), "the first try's input is estimated"


def test_echo_streams_word_by_word_what_it_answers():
    async def main():
        echo = model("local:echo")
        pieces = await echo.stream("one  two\n three ")
        assert [piece.text for piece in pieces[:-1]] == ["one", "  two", "\n three", " "]
        assert pieces[-1] == await echo.ask("one  two\n three ")
        assert pieces[-1].text == "one  two\n three "
        cut = await echo.ask("one two three four", max_tokens=2)
        assert (cut.text, cut.finish) == ("one two", "length")
        assert (await echo.ask("")).text == ""

    run_virtual(main())
