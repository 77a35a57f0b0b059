"""Rules: what they answer, and that what fills a schema validates against it."""

from __future__ import annotations

import json
from enum import Enum
from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, create_model

from fanwise.models import QUOTING, Passage, Prompt, Quote, read_quotes
from fanwise.testing.twin import (
    Calls,
    Choose,
    Fault,
    Part,
    Quoting,
    Saying,
    Script,
    Tool,
    ToolUse,
    Twin,
)
from fanwise.testing.twin._answers import auto, extract, to_blocks
from fanwise.testing.twin._fault import wrong
from fanwise.testing.twin._schema import fill
from tests.twin.talk import asked


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Leaf(BaseModel):
    size: float
    colour: Colour


class Tree(BaseModel):
    name: Annotated[str, Field(max_length=20)]
    height: Annotated[int, Field(ge=3, le=9)]
    kind: Literal["oak", "ash"]
    leaf: Leaf
    leaves: list[Leaf]
    tags: Annotated[list[str], Field(min_length=2, max_length=3)]
    old: bool
    note: str | None
    under: Tree | None = None


KINDS = [
    str,
    int,
    float,
    bool,
    str | None,
    list[int],
    list[str],
    Leaf,
    list[Leaf],
    Colour,
    Literal["a", "b"],
    Tree,
    Annotated[int, Field(gt=2, lt=5)],
    Annotated[str, Field(min_length=5)],
    dict[str, int],
]


@given(
    st.dictionaries(
        st.sampled_from(["name", "age", "a_b", "x"]), st.sampled_from(KINDS), min_size=1
    ),
    st.text(max_size=200),
)
def test_what_fills_a_schema_validates_whatever_the_text(fields, text):
    model = create_model("Made", **{name: (kind, ...) for name, kind in fields.items()})
    model.model_validate_json(json.dumps(fill(model.model_json_schema(), text)))


def test_a_field_takes_what_stands_behind_its_name():
    found = fill(
        Tree.model_json_schema(),
        "name: Elm\nheight: 42 m\nkind: ash\nold: no\ntags: tall, green\nnote is shady",
    )
    assert (found["name"], found["height"], found["kind"]) == ("Elm", 9, "ash")
    assert (found["old"], found["tags"], found["note"]) == (False, ["tall", "green"], "shady")


def test_json_in_the_text_is_taken_as_it_is():
    given = {"size": 2.5, "colour": "blue"}
    assert fill(Leaf.model_json_schema(), f"Answer with {json.dumps(given)}, please") == given


@pytest.mark.parametrize("model", [Tree, Leaf])
def test_what_is_wrong_on_purpose_does_not_validate(model):
    schema = model.model_json_schema()
    (block,) = wrong([Saying(json.dumps(fill(schema, "x")))], schema)
    with pytest.raises(ValueError, match="valid"):
        model.model_validate_json(block.text)
    (block,) = wrong([ToolUse("t", fill(schema, "x"))], None)
    with pytest.raises(ValueError, match="valid"):
        model.model_validate_json(block.text)


def test_a_tool_that_must_be_called_is_called_and_another_is_not():
    tools = (Tool("look", schema={"type": "object", "properties": {"n": {"type": "integer"}}}),)
    assert auto(asked("n: 7", tools=tools)) == "n: 7"
    assert auto(asked("n: 7", tools=tools, tool_choice="required")) == ToolUse("look", {"n": 7})
    assert extract(asked("n: 7", tools=tools, tool_choice="look")) == ToolUse("look", {"n": 7})


def test_without_a_schema_every_named_value_is_extracted():
    assert json.loads(extract(asked("name: Ada\nage = 36\nand so on"))) == {
        "name": "Ada",
        "age": "36",
    }


CANDIDATES = "Which is best?\n[1] the first\n[2] the second, of gold\n3. the third"


def test_a_candidate_is_chosen_by_what_is_liked_or_drawn():
    assert Choose(liking="gold")(asked(CANDIDATES)) == "2"
    drawn = {Choose(seed=seed)(asked(CANDIDATES)) for seed in range(40)}
    assert drawn == {"1", "2", "3"}
    assert Choose(seed=3)(asked(CANDIDATES)) == Choose(seed=3)(asked(CANDIDATES))
    assert "no numbered" in Choose()(asked("nothing here"))
    schema = {"type": "object", "properties": {"choice": {"type": "integer"}}}
    assert Choose(liking="gold")(asked(CANDIDATES, schema=schema)) == '{"choice":2}'


def test_passages_are_quoted_in_the_contract_that_a_digest_reads():
    passages = (
        Passage("# Cats\n\nThe cat sat 4.5 m up. It was\nfat. Then it slept.", source="a.md"),
        Passage("No end here", source="b.md"),
        Passage("Dogs bark! Do they?", source="c.md", heading=("Dogs",)),
    )
    prompt = Prompt("what do animals do?", passages, QUOTING)
    found = read_quotes(auto(asked(prompt.text())))
    assert found.remarks == 0
    assert found.quotes == (
        Quote(1, "The cat sat 4.5 m up."),
        Quote(1, "It was fat."),
        Quote(3, "Dogs bark!"),
        Quote(3, "Do they?"),
    )
    assert len(read_quotes(Quoting(each=1)(asked(prompt.text()))).quotes) == 2


def test_calls_come_first_and_words_when_their_results_are_there():
    rule = Calls([("look", {"what": "tides"})], after="It says: {results}")
    assert rule(asked("go")) == [ToolUse("look", {"what": "tides"})]
    talk = (
        Part("user", "go"),
        Part("assistant", '{"what":"tides"}', call="call_1", tool="look"),
        Part("tool", "high", call="call_1"),
    )
    assert rule(asked(parts=talk)) == "It says: high"
    assert rule(asked(parts=(*talk, Part("assistant", "so"), Part("user", "again")))) == [
        ToolUse("look", {"what": "tides"})
    ]


def test_a_script_goes_in_order_then_begins_anew_or_leaves_it_to_a_rule():
    script = Script(["one", [Saying("two"), ToolUse("t", {})]], otherwise=lambda ask: "rest")
    assert [to_blocks(script(asked()))[0] for _ in range(3)] == [
        Saying("one"),
        Saying("two"),
        Saying("rest"),
    ]
    again = Script(["one", "two"], repeat=True)
    assert [again(asked()) for _ in range(5)] == ["one", "two", "one", "two", "one"]


@pytest.mark.parametrize("wrong_rule", ["ecco", {"m": "ecco"}, 7])
def test_an_unknown_rule_is_refused_with_what_there_is(wrong_rule):
    with pytest.raises((ValueError, TypeError), match="answers="):
        Twin(answers=wrong_rule)


def test_an_answer_that_is_none_is_refused():
    for wrong_answer in ([1], 1):
        with pytest.raises(TypeError, match="a str, a Saying"):
            to_blocks(wrong_answer)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Script("yes"), "answers='yes': a list of answers"),
        (lambda: Script([5]), "not 5"),
        (lambda: Script(matches={"a": 5}), "not 5"),
        (lambda: Calls(["look"]), "calls holds 'look': a tool and its arguments"),
        (lambda: Quoting(each=0), "each=0: sentences of a passage"),
        (lambda: Twin(faults=Fault("reset")), "faults=Fault.*: a list of Fault"),
        (lambda: Twin(batches=5), "batches=5: a BatchPace"),
    ],
)
def test_a_script_that_could_answer_nothing_is_refused_when_it_is_made(make, told):
    with pytest.raises((TypeError, ValueError), match=told):
        make()
