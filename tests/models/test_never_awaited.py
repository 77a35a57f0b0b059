"""What asks a model and is never awaited warns with the line of its user, not with one of ours."""

import sys

import pytest

from fanwise.models import (
    Embedder,
    Model,
    Route,
    ask_all,
    ask_batch,
    ask_shared,
    cascade,
    ensemble,
)
from fanwise.models.tools import run_tools
from tests.models.fakes import Scripted
from tests.models.test_batches import Hours
from tests.models.test_embedder import Lengths

ONE = Model(Scripted("yes"))


def here():
    return sys._getframe(1).f_lineno


@pytest.mark.parametrize(
    ("make", "asked"),
    [
        (ONE.ask, "Why?"),
        (ONE.stream, "Why?"),
        (Embedder(Lengths()).embed, ["a"]),
        (Embedder(Lengths()).embed, ["a"] * 9),
    ],
)
def test_a_question_never_awaited_warns_with_the_line_of_its_user(make, asked):
    call, line = make(asked), here()
    with pytest.warns(RuntimeWarning, match="made and never awaited") as caught:
        del call
    assert (caught[0].filename, caught[0].lineno) == (__file__, line)


@pytest.mark.parametrize(
    "way", ["ask_shared", "ask_batch", "cascade", "ensemble", "Route", "tools"]
)
def test_a_pattern_of_models_never_awaited_warns_with_the_line_of_its_user(way):
    arguments = {
        "ask_shared": (ask_shared, (ONE, "shared", ["a"]), {}),
        "ask_batch": (ask_batch, (Model(Hours()), ["a"]), {}),
        "cascade": (cascade, ("Why?", [ONE]), {"accept": bool}),
        "ensemble": (ensemble, ("Why?", [ONE]), {"judge": ONE}),
        "Route": (Route({"a": ONE.ask}, by=lambda _: "a", default="a"), ("Why?",), {}),
        "tools": (run_tools, ([], []), {}),
    }
    make, given, named = arguments[way]
    call, line = make(*given, **named), here()
    with pytest.warns(RuntimeWarning, match="made and never awaited") as caught:
        del call
    assert (caught[0].filename, caught[0].lineno) == (__file__, line)


def test_each_of_several_opinions_warns_with_the_line_of_its_user():
    calls, line = ask_all([ONE, ONE], "Why?"), here()
    with pytest.warns(RuntimeWarning, match="made and never awaited") as caught:
        calls.clear()
    assert [(each.filename, each.lineno) for each in caught] == [(__file__, line)] * 2
