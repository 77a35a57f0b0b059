"""Ensembles, votes, routes and cascades over the provider twin: both wires, usage and ledger."""

import pytest

from fanwise import Runtime, vote
from fanwise.models import Route, Usage, ask_all, ballot, cascade, ensemble

pytest.importorskip("tests.providers.on_twin", reason="the twin and its adapters are not here yet")

from fanwise.testing.twin import Choose, Law, Script, Twin
from tests.providers.on_twin import SPOKEN, on_twin

every = pytest.mark.parametrize("name", SPOKEN)


def ledgers(*twins):
    """What all requests of some twins came to."""
    counts = [entry.counts for twin in twins for entry in twin.ledger]
    return Usage(sum(each.tokens_in for each in counts), sum(each.tokens_out for each in counts))


@every
async def test_a_judge_chooses_over_the_wire(name):
    answers = Twin({"*": Law(first=0.5, per_second=100)}, answers=Script(["Paris.", "Lyon."]))
    judging = Twin({"*": Law(first=0.2, per_second=100)}, answers=Choose(liking="Lyon"))
    async with (
        on_twin(name, answers) as model,
        on_twin(name, judging) as judge,
        Runtime() as runtime,
    ):
        made = await runtime.run(ensemble("The capital?", [model, model], judge=judge))
        rows = runtime.runs[-1].record().calls
    assert (made.answer.text, made.judged) == ("Lyon.", True)
    assert made.usage == ledgers(answers, judging)
    assert [row.role for row in rows if row.pattern is None] == ["work", "work", "judge"]


@every
async def test_a_route_asks_for_one_of_its_names(name):
    twin = Twin(answers=Script(['{"way": "long"}']))
    async with on_twin(name, twin) as cheap:
        route = Route({"short": cheap.ask, "long": cheap.ask}, by=cheap, default="short")
        choice = await route.choose("Why?")
    assert (choice.way, choice.by) == ("long", "model")


@every
async def test_a_model_checks_a_cascade(name):
    small, large = Twin(answers=Script(["no idea"])), Twin(answers=Script(["42"]))
    checks = Twin(answers=Script(['{"verdict": "unsure"}', '{"verdict": "yes"}']))
    async with on_twin(name, small) as a, on_twin(name, large) as b, on_twin(name, checks) as check:
        made = await cascade("What is it?", [a, b], accept=check)
    assert (made.answer.text, made.level) == ("42", 1)
    assert made.usage == ledgers(small, large, checks)


@every
async def test_a_vote_over_the_wire(name):
    twin = Twin(answers=Script(["Yes.", "yes", "No", " YES "]))
    async with on_twin(name, twin) as model:
        found = await vote(ask_all(model, ["q?", "q, really?", "q, is it?", "q!"]), key=ballot)
    assert found.counts == {"yes": 3, "no": 1}
