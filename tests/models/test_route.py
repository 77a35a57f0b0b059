"""Routes: a request is classified, and takes the way that fits it; what is unsure takes the default."""

import asyncio

import pytest
from hypothesis import strategies as st

from fanwise import Retry, Runtime, fan_out, run, step
from fanwise.models import Chat, Choice, Message, Passage, Prompt, Route
from fanwise.testing import run_virtual
from tests.laws.proving import changed, holds, rejects, virtually
from tests.models.panel import saying


@step
async def briefly(request: str) -> str:
    await asyncio.sleep(1.0)
    return f"briefly: {request}"


@step
async def at_length(request: str) -> str:
    found = await fan_out(briefly("a"), briefly("b"), briefly("c"))
    return f"at length: {request} over {len(found)}"


WAYS = {"simple": briefly, "complex": at_length}


def by_length(request):
    return "simple" if len(request) < 20 else "complex"


def test_a_rule_spends_parallelism_in_proportion():
    async def main():
        async with Runtime() as runtime:
            route = Route(WAYS, by=by_length, default="complex")
            short = await runtime.run(route("why?"))
            calls = len(runtime.runs[-1].record().calls)
            long = await runtime.run(route("why, in the end, and since when?"))
            return short, calls, long, runtime.runs[-1].record().calls

    short, calls, long, rows = run_virtual(main())
    assert (short, calls) == ("briefly: why?", 3)
    assert long.startswith("at length")
    said = {row.pattern: (row.role, dict(row.facts)) for row in rows if row.pattern != "fan_out"}
    assert said["choose"] == ("plan", {"plan": "complex", "plan_by": "rule"})
    assert said["route"] == ("work", {"plan": "complex", "plan_by": "rule"})


# --- the law: whatever a classifier does, the request takes a way that is there ---------------

SAYS = st.sampled_from([
    '{"way": "simple"}', '{"way": "complex"}', '{"way": "unsure"}', '{"way": "other"}', '{"way": 3}',
    "simple", "", "{", OSError("down"), ValueError("odd"),
])  # fmt: skip


def takes_a_way(says, default):
    async def program(runtime):
        cheap = saying("cheap", says)
        route = Route(WAYS, by=cheap, default=default)
        choice = await runtime.run(route.choose("why?"))
        wanted = {'{"way": "simple"}': "simple", '{"way": "complex"}': "complex"}.get(says)
        assert (choice.way, choice.by) == (wanted or default, "model" if wanted else "default")
        assert bool(choice.why) == (wanted is None)
        assert len(cheap.provider.requests) == 1, "an invalid classification is not asked again"
        rows = [row for row in runtime.runs[-1].record().calls if row.step == "cheap"]
        assert [row.role for row in rows] == ["plan"]

    virtually(program)


def credulous(self, said, by, why):
    return Choice(said if isinstance(said, str) else self.default, by, why)


def test_every_request_takes_a_way():
    holds(takes_a_way, says=SAYS, default=st.sampled_from(sorted(WAYS)))


def test_a_route_that_believes_everything_is_found_out():
    rejects(
        takes_a_way,
        says=SAYS,
        default=st.sampled_from(sorted(WAYS)),
        mutant=changed((Route, "_valid", credulous)),
    )


# --- rules -----------------------------------------------------------------------------------


async def asynchronous(request):
    return by_length(request)


@step
async def failing(request: str) -> str:
    raise OSError("no connection")


@pytest.mark.parametrize(
    ("rule", "choice"),
    [
        (by_length, Choice("simple", "rule")),
        (asynchronous, Choice("simple", "rule")),
        (step(by_length), Choice("simple", "rule")),
        (lambda _: None, Choice("complex", "default", "unsure")),
        (lambda _: "unsure", Choice("complex", "default", "unsure")),
        (lambda _: "other", Choice("complex", "default", "no way 'other'")),
        (lambda _: 3, Choice("complex", "default", "no way 3")),
        (failing, Choice("complex", "default", "failed: no connection")),
    ],
)
def test_a_rule_says_the_way_or_the_default_is_taken(rule, choice):
    route = Route(WAYS, by=rule, default="complex")
    assert run(route.choose("why?")) == choice


def test_a_choice_says_who_chose_and_why():
    assert str(Choice("complex", "default", "unsure")) == "complex (by default: unsure)"
    assert str(Choice("simple", "rule")) == "simple (by rule)"


def test_a_plain_rule_that_is_wrong_is_a_mistake_and_not_a_doubt():
    with pytest.raises(ZeroDivisionError):
        run(Route(WAYS, by=lambda _: 1 / 0, default="complex")("why?"))


def test_what_the_way_raises_is_raised():
    with pytest.raises(OSError, match="no connection"):
        run(Route({"only": failing}, by=lambda _: "only", default="only")("why?"))


def test_a_way_may_be_any_function_of_the_request():
    async def plain(request):
        return request.upper()

    assert run(Route({"plain": plain}, by=lambda _: "plain", default="plain")("x")) == "X"


def test_a_way_that_gives_nothing_to_await_is_named():
    route = Route({"plain": str.upper}, by=lambda _: "plain", default="plain")
    with pytest.raises(TypeError, match=r"the way 'plain' is a step or gives .* gave 'X'"):
        run(route("x"))


def test_a_route_below_a_retried_step_is_not_chosen_again():
    async def main():
        cheap, attempts = saying("cheap", '{"way": "simple"}'), []
        route = Route(WAYS, by=cheap, default="complex")

        @step(retry=Retry(attempts=2, on=(OSError,), shortest=0.01))
        async def twice():
            attempts.append(await route("q"))
            if len(attempts) == 1:
                raise OSError

        await twice()
        return attempts, len(cheap.provider.requests)

    assert run_virtual(main()) == (["briefly: q"] * 2, 1)


# --- what a model is asked -------------------------------------------------------------------


@pytest.mark.parametrize(
    "request_", ["why?", Prompt("why?", (Passage("x"),)), Chat((Message("user", "why?"),))]
)
def test_a_model_sees_the_ways_their_hints_and_the_request(request_):
    cheap = saying("cheap", '{"way": "simple"}')
    route = Route(WAYS, by=cheap, default="complex", hints={"simple": "one fact"})
    assert run(route.choose(request_)).way == "simple"
    (asked,) = cheap.provider.requests
    assert "- simple: one fact\n- complex: complex\n- unsure:" in asked.chat.system
    assert "why?" in asked.chat.messages[0].text
    assert asked.schema["properties"]["way"]["enum"] == ["simple", "complex", "unsure"]


def test_a_model_cannot_read_every_request():
    route = Route({"only": step(by_length)}, by=saying("cheap", ""), default="only")
    with pytest.raises(TypeError, match=r"only choose the way of a text, .* got 3"):
        run(route.choose(3))


# --- wrong use -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ways", "how", "error", "says"),
    [
        ({}, {}, ValueError, "at least one way, such as"),
        ([briefly], {}, TypeError, "ways are by name, such as .*, got "),
        ({"": briefly}, {}, ValueError, "the name of a way .* got ''"),
        ({"unsure": briefly}, {}, ValueError, "got 'unsure'"),
        ({"simple": 3}, {}, TypeError, "the way 'simple' is a step or function .* got 3"),
        (WAYS, {"default": "other"}, ValueError, "default is one of simple, complex, got 'other'"),
        (WAYS, {"by": "rule"}, TypeError, "by is a function .* got 'rule'"),
        (WAYS, {"hints": {"x": "y"}}, ValueError, r"hints\['x'\] is for no way"),
    ],
)
def test_wrong_use_names_the_argument(ways, how, error, says):
    with pytest.raises(error, match=says):
        Route(ways, **{"by": by_length, "default": "simple", **how})


def test_a_route_names_its_ways():
    assert repr(Route(WAYS, by=by_length, default="simple")) == (
        "<Route to simple, complex, by default simple>"
    )
