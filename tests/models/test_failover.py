"""Names that stand for several deployments: who is asked, who is left, and what is said of it."""

import asyncio
import contextlib
import gc
from decimal import Decimal

import pytest

from fanwise import (
    Breaker,
    Budget,
    Cache,
    Hedge,
    Limit,
    Retry,
    Runtime,
    deadline,
    fan_map,
    fan_out,
    step,
)
from fanwise.core import BudgetSpent, LimitTooSmall, Need, StepTimedOut
from fanwise.models import Chat, Message, Model, NoneAnswered, Price, cascade, ensemble, model
from fanwise.testing import no_orphans, run_virtual
from tests.models.fakes import Scripted
from tests.models.regions import Answered, Region, Speaking, models, out

QUICK = Breaker(share=0.5, window=5.0, minimum=2, pause=5.0)


def virtually(body, **options):
    """Run `body(runtime)` on the virtual clock; nothing is left behind."""

    async def main():
        with no_orphans():
            async with Runtime(**{"seed": 1} | options) as runtime:
                return await body(runtime)

    return run_virtual(main(), horizon=100_000)


def deployments(runtime):
    return {each.name: each for each in runtime.statistics().deployments}


def rows(run):
    return [(row.step, row.status) for row in run.record().calls]


# Who is asked


def test_the_first_of_a_list_is_asked_and_the_next_where_it_fails():
    west, east = Region("west", wrong=out(10, 20)), Region("east")

    async def body(runtime):
        smart = model("smart")
        first = await smart.ask("one")
        await asyncio.sleep(10)
        second = await smart.ask("two")
        return first, second

    first, second = virtually(body, models={"smart": models(west, east)})
    assert (first.model, second.model) == ("west:m", "east:m")
    assert (len(west.asked), len(east.asked)) == (2, 1)


def test_a_name_may_stand_for_one_address():
    async def body(runtime):
        return await model("cheap").ask("one two")

    answer = virtually(body, models={"cheap": "local:echo"})
    assert (answer.text, answer.model) == ("one two", "local:echo")


def test_equals_share_what_comes_and_a_later_tier_has_the_rest():
    west, east, far = Region("west"), Region("east"), Region("far")
    limits = {"west:m": Limit(at_once=4), "east:m": Limit(at_once=2), "far:*": Limit(at_once=100)}

    async def body(runtime):
        await fan_map(model("smart").ask, [str(n) for n in range(10)], at_once=10)

    virtually(body, models={"smart": [models(west, east), models(far)]}, limits=limits)
    assert (west.most, east.most, far.most) == (4, 2, 4)


def test_equals_without_limits_are_asked_in_turn():
    regions = [Region(name) for name in "abc"]

    async def body(runtime):
        smart = model("smart")
        for n in range(6):
            await smart.ask(str(n))
        await fan_map(smart.ask, [str(n) for n in range(9)], at_once=9)

    virtually(body, models={"smart": [models(*regions)]})
    assert [len(each.asked) for each in regions] == [5, 5, 5]


def test_what_has_rates_is_filled_by_its_free_part():
    west, east = Region("west"), Region("east")
    limits = {
        "west:m": Limit(requests_per_minute=60, burst=60),
        "east:m": Limit(requests_per_minute=180, burst=60),
    }

    async def body(runtime):
        began = runtime.time()
        await fan_map(model("smart").ask, [str(n) for n in range(480)], at_once=480)
        return runtime.time() - began

    taken = virtually(body, models={"smart": [models(west, east)]}, limits=limits)
    assert (len(west.asked), len(east.asked)) == (120, 360)  # as their rates are
    assert taken == pytest.approx(61.0, abs=1.5)  # 240 at once, and as many in the next minute


def test_who_waits_moves_on_where_another_has_room():
    slow, quick = Region("slow", seconds=10.0), Region("quick", seconds=1.0)
    limits = {"*": Limit(at_once=5)}

    async def body(runtime):
        began = runtime.time()
        found = await fan_map(model("smart").ask, [str(n) for n in range(110)], at_once=110)
        assert found.complete
        return runtime.time() - began

    taken = virtually(body, models={"smart": [models(slow, quick)]}, limits=limits)
    assert taken <= 22.0  # 5.5 a second; half of them at the slow one would take 110 s
    assert len(quick.asked) >= 95


def test_a_long_beginning_stays_where_it_is_cached_while_there_is_room():
    regions = [Region(name, seconds=0.1) for name in "abcd"]

    async def body(runtime):
        smart = model("smart")
        for book in range(8):
            chat = Chat((Message("user", "first"),), system=f"book {book} " * 600)
            for n in range(4):
                answer = await smart.ask(chat.then(Message("user", f"question {n}")))
                where.setdefault(book, set()).add(answer.model)
        await fan_map(lambda n: smart.ask(Chat((Message("user", str(n)),), system="x" * 5000)),
                      range(40), at_once=40)  # fmt: skip

    where = {}
    virtually(body, models={"smart": [models(*regions)]}, limits={"*": Limit(at_once=10)})
    assert all(len(each) == 1 for each in where.values())
    assert len(set.union(*where.values())) > 1  # different beginnings lie in different places
    assert [each.most for each in regions] == [10] * 4  # no room: elsewhere


def test_a_conversation_stays_where_its_long_first_message_went():
    regions = [Region(name, seconds=0.1) for name in "abcd"]

    async def body(runtime):
        chat = Chat((Message("user", "a long document " * 400),))
        for _ in range(5):
            answer = await model("smart").ask(chat)
            seen.add(answer.model)
            chat = chat.then(answer.message, Message("user", "and?"))

    seen = set()
    virtually(body, models={"smart": [models(*regions)]})
    assert len(seen) == 1


# Who is left, and probed


def test_a_known_outage_is_left_alone_and_probed_by_one():
    west, east = Region("west", wrong=out(0, 12)), Region("east")

    async def body(runtime):
        smart = model("smart")
        for _ in range(30):
            await fan_map(smart.ask, [str(n) for n in range(4)], at_once=4)
        assert deployments(runtime)["west:m"].state == "closed"

    virtually(body, models={"smart": [Model(west, breaker=QUICK), *models(east)]})
    assert west.asked[:4] == [0.0] * 4  # before anything was known
    assert west.asked[4:6] == [6.0, 12.0]  # one at a time, 5 s after the last one failed
    assert west.asked[6:10] == [13.0] * 4  # and all of them once it is well


def test_the_probe_is_one_of_many_that_come_at_once():
    west, east = Region("west", wrong=out(0, 3)), Region("east")

    async def body(runtime):
        smart = model("smart")
        await fan_map(smart.ask, "abcd", at_once=4)
        await asyncio.sleep(8)
        run = runtime.start(fan_map(smart.ask, [str(n) for n in range(20)], at_once=20))
        await run.wait()
        return run

    run = virtually(body, models={"smart": [Model(west, breaker=QUICK), *models(east)]})
    assert len(west.asked) == 5
    assert "failed" not in {status for _, status in rows(run)}  # nobody ran into the breaker


def test_who_waits_in_the_line_of_one_that_fails_goes_elsewhere():
    west, east = Region("west", wrong=out(0, 100)), Region("east", seconds=3.0)
    limits = {"west:m": Limit(at_once=2), "east:m": Limit(at_once=2)}

    async def body(runtime):
        found = await fan_map(model("smart").ask, [str(n) for n in range(12)], at_once=12)
        assert found.complete

    virtually(body, models={"smart": [[Model(west, breaker=QUICK), Model(east)]]}, limits=limits)
    assert len(west.asked) <= 4  # two that did not know it, and its probes


def test_a_429_sends_everybody_elsewhere_for_as_long_as_it_asks():
    west = Region("west", seconds=0.1, wrong=out(0, 1, Answered(429, after=30.0)))
    east = Region("east", seconds=0.1)

    async def body(runtime):
        smart = model("smart")
        await smart.ask("a")
        assert deployments(runtime)["west:m"].state == "paused"
        for _ in range(39):
            await asyncio.sleep(1.0)
            await smart.ask("b")

    virtually(body, models={"smart": [*models(west, east)]})
    assert len(west.asked) > 5  # and again after half a minute
    assert min(west.asked[1:]) >= 30.0


@pytest.mark.parametrize("limit", [Limit(at_once=1), Limit(requests_per_minute=60, burst=1.0)])
def test_who_waits_for_a_limit_that_a_429_pauses_goes_elsewhere_at_once(limit):
    west = Region("west", seconds=0.5, wrong=out(0, 1, Answered(429, after=60.0)))
    east = Region("east", seconds=2.0)
    limits = {"west:m": limit, "east:m": Limit(at_once=1)}

    async def body(runtime):
        found = await fan_map(model("smart").ask, "abcdef", at_once=6)
        assert found.complete
        return runtime.time()

    taken = virtually(body, models={"smart": [models(west, east)]}, limits=limits)
    assert len(west.asked) == 1
    assert taken < 13  # six at the other one, two seconds each


def test_a_refused_key_is_passed_by_and_then_left_alone():
    west = Region("west", seconds=0.1, wrong=out(0, 1e9, Answered(401)))
    east = Region("east", seconds=0.1)

    async def body(runtime):
        for n in range(20):
            await model("smart").ask(str(n))
        return deployments(runtime)

    found = virtually(body, models={"smart": models(west, east)})
    assert (found["west:m"].state, found["west:m"].failed) == ("open", 5)
    assert found["east:m"].answered == 20


# What is raised


@pytest.mark.parametrize("error", [Answered(400), ValueError("too long"), Answered(422)])
def test_what_would_fail_everywhere_is_raised_at_once(error):
    west, east = Region("west", wrong=out(0, 9, error)), Region("east")

    async def body(runtime):
        with pytest.raises(type(error), match=str(error)):
            await model("smart").ask("?")

    virtually(body, models={"smart": models(west, east)})
    assert east.asked == []


def test_where_all_are_out_the_error_names_each_with_its_cause():
    west = Region("west", wrong=out(0, 99, Answered(503)))
    east = Region("east", wrong=out(0, 99))

    async def body(runtime):
        smart = model("smart")
        for _ in range(2):
            with pytest.raises(NoneAnswered) as caught:
                await smart.ask("?")
        first = str(caught.value)
        with pytest.raises(NoneAnswered) as caught:
            await smart.ask("?")
        return first, caught.value

    smart = [Model(west, breaker=QUICK), Model(east, breaker=QUICK)]
    first, error = virtually(body, models={"smart": smart})
    assert first == (
        "smart: none of 2 deployments answered\n  west:m: Answered: status 503\n"
        "  east:m: ConnectionError: down"
    )
    assert str(error).splitlines()[1:] == [
        "  west:m: left alone for 4 s more; last: Answered: status 503",
        "  east:m: left alone for 5 s more; last: ConnectionError: down",
    ]
    assert list(error.causes) == ["west:m", "east:m"]
    assert error.retry_after == 4.0
    assert len(west.asked) == len(east.asked) == 2  # the third request went nowhere


def test_where_nothing_of_it_may_pass_the_first_error_is_raised_itself():
    west, east = (Region(name, wrong=out(0, 9, Answered(401))) for name in ("west", "east"))

    async def body(runtime):
        with pytest.raises(Answered, match="401") as caught:
            await model("smart").using(retry=Retry(attempts=3)).ask("?")
        return caught.value

    error = virtually(body, models={"smart": models(west, east)})
    assert len(west.asked) == len(east.asked) == 1
    assert error.__notes__ == ["smart: west:m: Answered: status 401",
                               "smart: east:m: Answered: status 401"]  # fmt: skip


def test_an_unknown_name_says_which_there_are():
    async def body(runtime):
        with pytest.raises(
            ValueError, match=r"'smarter' is neither .*whose names are: cheap, smart"
        ):
            await model("smarter").ask("?")
        with pytest.raises(ValueError, match="'other' is neither"):
            await model("other").price(model("local:echo").estimate("?"))

    virtually(body, models={"smart": "local:echo", "cheap": "local:echo"})

    async def none(runtime):
        with pytest.raises(
            ValueError, match=r"nor a name of this runtime, which has none\. Runtime\("
        ):
            await model("smart").ask("?")

    virtually(none)


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        (["local:echo"], TypeError, "maps names to deployments"),
        ({"a:b": "local:echo"}, ValueError, "has no colon"),
        ({"openai": "local:echo"}, ValueError, "is that of no provider"),
        ({1: "local:echo"}, TypeError, "got the name 1"),
        ({"smart": []}, ValueError, r"models\['smart'\] needs at least one deployment"),
        ({"smart": [[]]}, ValueError, r"models\['smart'\] needs at least one deployment"),
        ({"smart": [7]}, TypeError, "got 7 for 'smart'"),
        ({"smart": ["nobody:x"]}, ValueError, "'nobody:x' is not known"),
        ({"smart": ["cheap"], "cheap": "local:echo"}, ValueError, "has 'cheap' in it, which is no address"),
        ({"smart": model("cheap")}, ValueError, "has 'cheap' in it, which is no address"),
        ({"smart": ["local:echo", "local:echo"]}, ValueError, "'local:echo' twice"),
        ({"smart": models(Region("a"), Region("a"))}, ValueError, "a second deployment named 'a:m'"),
        ({"smart": models(Region("a"), retry=Retry())}, ValueError, "retry of <Model a:m>"),
        ({"smart": models(Region("a"), hedge=Hedge(1.0))}, ValueError, r"using\(hedge=\.\.\.\)"),
    ],
)  # fmt: skip
def test_what_no_name_can_stand_for_is_refused_when_the_runtime_is_made(given, error, said):
    with pytest.raises(error, match=said):
        Runtime(models=given)


# Policies


def test_a_retry_goes_round_again_and_waits_until_somebody_may_be_asked():
    west, east = Region("west", wrong=out(0, 4)), Region("east", wrong=out(0, 4))
    smart = [Model(west, breaker=Breaker(minimum=1, pause=5.0)), Model(east, breaker=QUICK)]

    async def body(runtime):
        patient = model("smart").using(retry=Retry(attempts=4, shortest=0.0, longest=0.0))
        return await patient.ask("?"), runtime.time()

    answer, time = virtually(body, models={"smart": smart})
    assert answer.model == "west:m"
    assert time == pytest.approx(7.0)  # 2 s for both; east again, 2 more; 6 s: the probe of west
    assert (len(west.asked), len(east.asked)) == (2, 2)


def test_a_timeout_bounds_each_deployment_and_a_deadline_all_of_them():
    west, east = Region("west", seconds=50.0), Region("east", seconds=1.0)

    async def body(runtime):
        smart = model("smart").using(timeout=2.0)
        assert (await smart.ask("?")).model == "east:m"
        assert runtime.time() == 3.0
        with pytest.raises(TimeoutError), deadline(1.5):
            await smart.ask("?")
        assert runtime.time() == 4.5

    virtually(body, models={"smart": models(west, east)})


def test_a_deployment_with_a_timeout_of_its_own_keeps_it():
    west = Region("west", seconds=50.0)

    async def body(runtime):
        with pytest.raises(NoneAnswered) as caught:
            await model("smart").using(timeout=2.0).ask("?")
        assert isinstance(caught.value.__cause__, StepTimedOut)
        assert runtime.time() == 4.0

    virtually(body, models={"smart": models(west, timeout=4.0)})


def test_a_hedge_goes_to_another_deployment():
    west, east = Region("west", seconds=30.0), Region("east", seconds=1.0)

    async def body(runtime):
        answer = await model("smart").using(hedge=Hedge(after=2.0)).ask("?")
        return answer.model, runtime.time()

    assert virtually(body, models={"smart": [models(west, east)]}) == ("east:m", 3.0)
    assert len(west.asked) == len(east.asked) == 1


def test_a_hedge_is_not_sent_where_nobody_else_has_room():
    west = Region("west", seconds=5.0)

    async def body(runtime):
        answer = await model("smart").using(hedge=Hedge(after=2.0)).ask("?")
        return answer.model, runtime.time()

    assert virtually(body, models={"smart": models(west)}) == ("west:m", 5.0)
    assert len(west.asked) == 1


def test_a_request_that_is_too_large_for_one_limit_goes_to_another():
    west, east = Region("west"), Region("east")
    limits = {"west:m": Limit(tokens_per_minute=1000), "east:m": Limit(tokens_per_minute=100_000)}
    smart = models(west, east, needs=Need(2000, 10))

    async def body(runtime):
        assert (await model("smart").ask("?")).model == "east:m"
        with pytest.raises(LimitTooSmall):
            await model("small").ask("?")

    virtually(body, models={"smart": smart, "small": smart[:1]}, limits=limits)


def test_the_cache_of_a_name_answers_whoever_answered():
    west, east = Region("west", wrong=out(0, 2)), Region("east")

    async def body(runtime):
        smart = model("smart").using(cache=Cache())
        first, second = await smart.ask("?"), await smart.ask("?")
        return first, second

    first, second = virtually(body, models={"smart": models(west, east)})
    assert first is second
    assert first.model == "east:m"


def test_a_step_that_is_retried_takes_over_what_was_answered():
    west = Region("west")
    tries = []

    @step(retry=Retry(attempts=2, shortest=0.0, longest=0.0))
    async def twice():
        answer = await model("smart").ask("?")
        tries.append(answer)
        if len(tries) == 1:
            raise ConnectionError("after it")
        return answer

    virtually(lambda runtime: runtime.run(twice()), models={"smart": models(west)})
    assert len(tries) == 2
    assert len(west.asked) == 1


def test_a_role_is_that_of_the_deployments_calls_too():
    async def body(runtime):
        run = runtime.start(model("smart").in_role("judge").ask("?"))
        await run.wait()
        return run.record().calls

    rows = virtually(body, models={"smart": "local:echo"})
    assert {row.role for row in rows} == {"judge"}


def test_a_budget_is_for_the_deployments_and_what_fails_over_counts():
    west, east = Region("west", wrong=out(0, 2)), Region("east")

    async def body(runtime):
        asking = model("smart").ask("?", max_tokens=100)
        run = runtime.start(asking, budget=Budget(dollars=0.01))
        await run.wait()
        with pytest.raises(BudgetSpent):
            await runtime.run(model("smart").ask("?", max_tokens=100), budget=Budget(tokens=50))
        return run.spent()

    prices = {"m": Price(input=1, output=10)}
    smart = [Model(west, name="west"), Model(east, name="east")]
    (budget,) = virtually(body, models={"smart": smart}, prices=prices)
    assert (len(west.asked), len(east.asked)) == (1, 1)
    assert budget.reserved_tokens == 0
    assert budget.used_dollars >= Decimal("0.00006")  # the answer; and what the failure may have


def test_limits_that_processes_share_are_filled_tier_by_tier_too():
    west, east = Region("west"), Region("east")
    limits = {"west:m": Limit(at_once=4), "east:m": Limit(at_once=8)}

    async def body(runtime):
        smart = model("smart")
        await smart.ask("one")
        assert (len(west.asked), len(east.asked)) == (1, 0)
        await asyncio.sleep(60.0)  # what was held of the shared limit has gone back
        found = await fan_map(smart.ask, [str(n) for n in range(120)], at_once=12)
        assert found.complete
        return runtime.time()

    taken = virtually(
        body, models={"smart": models(west, east)}, limits=limits, shared="memory:failover"
    )
    assert (west.most, east.most) == (4, 8)
    assert taken <= 61.0 + 12.0


def test_a_deployment_without_a_limit_is_not_shared():
    async def body(runtime):
        await model("smart").ask("?")
        return {name: width.__class__.__name__ for name, width in runtime.widths.items()}

    limits = {"east:m": Limit(at_once=1)}
    smart = [[Model(Region("west")), Model(Region("east"))]]
    found = virtually(body, models={"smart": smart}, limits=limits, shared="memory:own")
    assert found == {"west:m": "Width", "east:m": "Quota"}


# Other ways to ask


def test_answers_of_a_type_and_what_does_not_fit_stay_with_one_deployment():
    west, east = Scripted("[1, 2", "[1, 2]", name="west:m"), Scripted("[]", name="east:m")

    async def body(runtime):
        return await model("smart").ask("?", output=list[int])

    answer = virtually(body, models={"smart": models(west, east)})
    assert (answer.value, answer.model, len(east.requests)) == ([1, 2], "west:m", 0)


def test_a_stream_fails_over_before_its_first_piece():
    west, east = Speaking("west", wrong=out(0, 9)), Speaking("east")

    async def body(runtime):
        async with model("smart").stream("?") as pieces:
            *texts, answer = [piece async for piece in pieces]
        run = runtime.runs[-1]
        return "".join(each.text for each in texts), answer, run.record().calls

    text, answer, calls = virtually(body, models={"smart": models(west, east)})
    assert text == answer.text == answer.model == "east:m"
    assert [(row.step, row.status) for row in calls] == [
        ("west:m", "failed"), ("east:m", "ok"), ("smart", "ok"),
    ]  # fmt: skip
    assert calls[-1].facts["deployment"] == "east:m"


def test_a_stream_that_has_begun_is_not_begun_anew():
    west, east = Speaking("west", wrong=out(0, 9)), Speaking("east")
    west.after = 2

    async def body(runtime):
        with pytest.raises(ConnectionError, match="down"):
            async with model("smart").stream("?") as pieces:
                async for piece in pieces:
                    heard.append(piece.text)
        with pytest.raises(ConnectionError):
            await model("smart").stream("?")

    heard = []
    virtually(body, models={"smart": models(west, east)})
    assert heard == ["w", "e"]
    assert east.asked == []


def test_a_stream_that_is_left_closes_its_deployments():
    west = Speaking("west", seconds=0.0)

    async def body(runtime):
        async with model("smart").stream("?") as pieces:
            async for _ in pieces:
                break
        return deployments(runtime)["west:m"]

    found = virtually(body, models={"smart": models(west)})
    assert (found.in_flight, found.answered, found.failed) == (0, 0, 0)


def test_a_stream_that_waits_moves_on_too():
    west = Speaking("west", seconds=0.5, wrong=out(0, 1, Answered(429, after=60.0)))
    east = Speaking("east", seconds=2.0)
    limits = {"west:m": Limit(at_once=1), "east:m": Limit(at_once=1)}

    async def body(runtime):
        smart = model("smart")
        found = await fan_out(*[smart.stream(each) for each in "abcdef"])
        assert found.complete
        return runtime.time()

    assert virtually(body, models={"smart": [models(west, east)]}, limits=limits) < 13
    assert len(west.asked) == 1


def test_ensembles_and_cascades_ask_names():
    west, east = Region("west", wrong=out(0, 9)), Region("east")
    names = {"smart": models(west, east), "cheap": "local:echo"}

    async def body(runtime):
        panel = await ensemble("yes", [model("smart"), model("cheap")], judge=model("cheap"))
        steps = await cascade("?", [model("cheap"), model("smart")],
                              accept=lambda answer: answer.text == "east:m")  # fmt: skip
        return panel, steps

    _, steps = virtually(body, models=names)
    assert (steps.answer.model, steps.escalated) == ("east:m", True)


def test_a_batch_is_asked_of_a_model():
    with pytest.raises(TypeError, match="smart has no batch API"):
        model("smart").batch(["?"])


def test_estimate_and_price_are_those_of_the_first():
    async def body(runtime):
        estimate = model("smart").estimate("one two three", max_tokens=9)
        return estimate, await model("smart").price(estimate)

    estimate, price = virtually(body, models={"smart": ["local:echo"]})
    assert (estimate.tokens_out, price) == (9, 0)
    assert model("smart").estimate("one two three", max_tokens=9) == estimate


# What is said of it


def test_the_record_says_who_answered_and_which_attempt_failed_where():
    west, east = Region("west", wrong=out(0, 9)), Region("east")

    async def body(runtime):
        run = runtime.start(model("smart").ask("?"))
        await run.wait()
        return run.record().calls

    failed, answered, name = virtually(body, models={"smart": models(west, east)})
    assert (failed.step, failed.status, failed.error) == (
        "west:m",
        "failed",
        "ConnectionError: down",
    )
    assert (answered.step, answered.facts["model"], answered.usage["tokens_out"]) == (
        "east:m", "east:m", 5,
    )  # fmt: skip
    assert failed.parent == answered.parent == name.call
    assert name.usage == {}  # it is the deployment's
    assert {key: name.facts[key] for key in ("deployment", "model", "failed_over")} == {
        "deployment": "east:m", "model": "east:m", "failed_over": 1,
    }  # fmt: skip


def test_deployments_of_one_address_have_names_of_their_own():
    west, east = Model(Region("a"), name="a west"), Model(Region("a"), name="a east", limit="key 2")

    async def body(runtime):
        run = runtime.start(fan_map(model("smart").ask, "abcd", at_once=4))
        await run.wait()
        facts = [row.facts for row in run.record().calls if row.step == "smart"]
        return sorted((each["deployment"], each["model"]) for each in facts), runtime.statistics()

    limits = {"key 2": Limit(at_once=1)}
    found, so_far = virtually(body, models={"smart": [[west, east]]}, limits=limits)
    assert found == [("a east", "a:m"), *[("a west", "a:m")] * 3]
    assert {each.name: each.answered for each in so_far.deployments} == {"a west": 3, "a east": 1}
    assert {each.name for each in so_far.breakers} == {"a west", "a east"}


def test_one_deployment_behind_two_names_is_one():
    shared = Model(Region("a", wrong=out(0, 99)), breaker=QUICK)

    async def body(runtime):
        for name in ("smart", "cheap", "smart", "cheap"):
            await model(name).ask("?")
        return deployments(runtime)["a:m"]

    names = {"smart": [shared, "local:echo"], "cheap": [shared, "local:echo"]}
    found = virtually(body, models=names)
    assert (found.failed, found.state) == (2, "open")


# What is left behind


def test_a_thousand_failures_leave_no_reference_cycle():
    west, east = (Region(name, seconds=0.0, wrong=out(0, 1e9)) for name in ("west", "east"))
    never = Breaker(minimum=10**6)

    async def body(runtime):
        smart = model("smart")
        for n in range(5):
            with pytest.raises(NoneAnswered):
                await smart.ask(str(n))
        gc.collect()
        gc.disable()
        try:
            for n in range(100):
                with contextlib.suppress(NoneAnswered):
                    await smart.ask(str(n))
            return gc.collect()
        finally:
            gc.enable()

    assert virtually(body, models={"smart": models(west, east, breaker=never)}) == 0


def test_cancelled_it_cancels_whom_it_asks_and_awaits_that():
    west = Region("west", seconds=10.0)

    async def body(runtime):
        asking = asyncio.ensure_future(runtime.run(model("smart").ask("?")))
        await asyncio.sleep(1.0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert west.open == 0
        return deployments(runtime)["west:m"]

    found = virtually(body, models={"smart": models(west)})
    assert (found.in_flight, found.failed) == (0, 0)


def test_equal_runs_ask_the_same_deployments():
    def played():
        regions = [Region(name, wrong=out(3 * n, 3 * n + 4)) for n, name in enumerate("abc")]

        async def body(runtime):
            smart = model("smart").using(retry=Retry(attempts=3), hedge=Hedge(after=0.9))
            found = await fan_map(smart.ask, [str(n) for n in range(60)], at_once=7, need=0)
            return [
                each.value.model if each.status == "ok" else each.status for each in found.outcomes
            ]

        return virtually(body, models={"smart": [models(*regions)]}), [r.asked for r in regions]

    assert played() == played()
