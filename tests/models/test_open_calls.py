"""Tool calls out of the pieces of a stream."""

import json

from hypothesis import given
from hypothesis import strategies as st

from fanwise.models import ToolBegun, ToolCall, ToolText
from fanwise.models._open_calls import OpenCalls

ARGUMENTS = st.dictionaries(st.text(), st.integers() | st.text() | st.lists(st.booleans()))


@given(st.lists(ARGUMENTS, max_size=4), st.data())
def test_each_is_given_once_with_its_last_piece(given_arguments, data):
    calls = OpenCalls()
    texts = {n: json.dumps(each) for n, each in enumerate(given_arguments)}
    for n in texts:
        calls.begin(ToolBegun(n, f"id-{n}", "tool"))
    while texts:
        n = data.draw(st.sampled_from(sorted(texts)))
        size = data.draw(st.integers(1, len(texts[n])))
        piece, texts[n] = texts[n][:size], texts[n][size:]
        whole = calls.add(ToolText(n, piece))
        if texts[n]:
            assert whole is None
        else:
            assert whole == ToolCall(f"id-{n}", "tool", given_arguments[n])
            del texts[n]
    assert list(calls.end()) == []
    assert len(calls.whole) == len(given_arguments)


def test_what_never_became_whole_is_given_at_the_end():
    calls = OpenCalls()
    for n, text in enumerate(["", '{"a": 1', "[1]", "Hello", ' {"a": 1} trailing']):
        calls.begin(ToolBegun(n, str(n), "tool"))
        if text:
            calls.add(ToolText(n, text))
    assert list(calls.end()) == [
        ToolCall("0", "tool"),
        ToolCall("1", "tool", broken='{"a": 1'),
        ToolCall("2", "tool", broken="[1]"),
        ToolCall("3", "tool", broken="Hello"),
        ToolCall("4", "tool", broken=' {"a": 1} trailing'),
    ]
