"""Budgets before the twin, whose ledger knows what was really used."""

from decimal import Decimal

import pytest

from fanwise import Budget, Hedge, NotEnough, Retry, Runtime, fan_map, fan_out, step
from fanwise.core import Need, current
from fanwise.errors import BudgetSpent, BudgetUnpriced
from fanwise.models import Embedded, Embedder, Price, Usage, model
from fanwise.testing import run_virtual
from fanwise.testing.twin import BatchPace, Fault, Law, Twin
from fanwise.testing.twin import Price as TwinPrice
from tests.providers.on_twin import on_twin

LAW = {"*": Law(first=0.3, per_second=50, jitter=0.5)}
PRICES = {"m": Price(input=2, output=8, batch="0.5")}
TWINS = {"*": TwinPrice("2", "8")}


def answer(ask):
    """Answer in 5 to 45 words, by the question."""
    size = sum(map(ord, str(ask))) % 41
    return "word " * (5 + size)


def asked_of(twin, ask_all, budget, wire="openai", prices=PRICES, **policy):
    """Run `ask_all(model)` under a budget; give its value and the run."""

    async def main():
        async with (
            on_twin(wire, twin, **policy) as asked,
            Runtime(prices=prices, seed=1) as runtime,
        ):
            run = runtime.start(step(ask_all)(asked), budget=budget)
            return await run.wait(), run

    return run_virtual(main())


def ledger(twin):
    """Give the tokens and the dollars of a twin's account."""
    tokens = sum(entry.counts.tokens_in + entry.counts.tokens_out for entry in twin.ledger)
    return tokens, sum(entry.cost for entry in twin.ledger if entry.cost is not None)


async def thousand(asked):
    async def ask(number):
        return await asked.ask(f"What of {number}? " * (1 + number % 7), max_tokens=80)

    return await fan_map(ask, range(1000), at_once=1000, need=0)


@pytest.mark.parametrize("budget", [Budget(tokens=20_000), Budget(dollars="0.10")], ids=str)
def test_a_thousand_at_once_use_all_of_it_and_no_more(budget):
    twin = Twin(LAW, answers=answer, prices=TWINS)
    found, run = asked_of(twin, thousand, budget)
    tokens, cost = ledger(twin)
    used = run.spent()[0]
    if budget.tokens is not None:
        assert 0.98 * budget.tokens < tokens <= budget.tokens
    else:
        assert 0.098 < cost <= used.dollars
        assert abs(cost - used.used_dollars) < cost / 1_000_000  # rounded up once an attempt
    assert used.used_tokens == tokens
    assert (used.reserved_tokens, used.waiting, used.over) == (0, 0, 0)
    assert used.refused == len(found.missing) == 1000 - len(twin.ledger)
    gap = next(each for each in found.outcomes if each.status != "ok")
    assert gap.status == "skipped"
    assert isinstance(gap.error, BudgetSpent)
    assert f"budget of the run {run.id}" in str(gap.error)


@pytest.mark.parametrize(
    "policy",
    [
        {"hedge": Hedge(after=0.5)},
        {"timeout": 0.9, "retry": Retry(attempts=3)},
        {"retry": Retry(attempts=4)},
    ],
    ids=str,
)
def test_hedges_retries_and_timeouts_reserve_anew(policy):
    faults = [Fault("status", share=0.1, status=500), Fault("reset", share=0.1, after=4)]
    twin = Twin(LAW, answers=answer, prices=TWINS, faults=faults, seed=3)
    _, run = asked_of(twin, thousand, Budget(tokens=20_000), **policy)
    tokens, _ = ledger(twin)
    used = run.spent()[0]
    assert tokens <= used.used_tokens <= used.tokens == 20_000
    assert used.reserved_tokens == 0
    assert used.used_tokens > 0.95 * used.tokens


def test_an_answer_without_a_bound_is_given_one():
    seen = []

    def long(ask):
        return "word " * 900

    async def ask(asked):
        seen.append((await asked.ask("Say much.")).finish)
        seen.append((await asked.ask("Say more.")).finish)
        return current().budget.tokens

    twin = Twin(LAW, answers=long)
    left, run = asked_of(twin, ask, Budget(tokens=2000, most=500))
    assert seen == ["length", "length"]
    assert [entry.counts.tokens_out for entry in twin.ledger] == [500, 500]
    assert run.spent()[0].used_tokens == 2000 - left


def test_the_last_answers_are_bounded_by_what_is_left():
    async def ask(asked):
        return await fan_out(*[asked.ask(f"Say {number}.") for number in range(4)], need=0)

    twin = Twin(LAW, answers=lambda ask: "word " * 200)
    found, run = asked_of(twin, ask, Budget(tokens=1000))
    assert [each.status for each in found.outcomes] == ["ok", "ok", "skipped", "skipped"]
    assert [each.finish for each in found.values()] == ["stop", "stop"]
    assert run.spent()[0].refused == 2  # what is left is not twice what the others wrote


def test_a_stream_that_is_left_counts_what_was_read_of_it():
    async def ask(asked):
        async with asked.stream("Say much.", max_tokens=500) as pieces:
            async for _ in pieces:
                break
        return current().budget.tokens

    twin = Twin(LAW, answers=lambda ask: "word " * 300)
    left, run = asked_of(twin, ask, Budget(tokens=1000))
    assert 0 < 1000 - left <= 500 + 80
    assert ledger(twin)[0] <= 1000 - left
    assert run.spent()[0].reserved_tokens == 0


def test_an_answer_that_does_not_fit_is_asked_again_within_the_budget():
    async def ask(asked):
        return await asked.ask("Say a number.", output=int, max_tokens=40)

    twin = Twin(LAW, answers=lambda ask: '"none"')
    with pytest.raises(ValueError, match=r"JSON|int"):
        asked_of(twin, ask, Budget(tokens=100_000))
    assert len(twin.ledger) == 2
    fewer = Twin(LAW, answers=lambda ask: '"none"')
    with pytest.raises(ValueError, match=r"JSON|int") as caught:
        asked_of(fewer, ask, Budget(tokens=1250))
    assert len(fewer.ledger) == 1
    assert isinstance(caught.value.__cause__, BudgetSpent)


def test_a_batch_reserves_for_all_of_its_requests():
    async def ask(asked):
        before = current().budget.dollars
        found = await asked.batch([f"Say {number}." for number in range(40)], need=0)
        return found, before - current().budget.dollars

    twin = Twin(LAW, answers=answer, prices=TWINS, batches=BatchPace(first=60, each=1))
    (found, used), run = asked_of(twin, ask, Budget(dollars=2))
    assert found.complete
    assert abs(used - ledger(twin)[1]) < used / 1_000_000
    assert run.spent()[0].reserved_dollars == 0
    with pytest.raises(BudgetSpent, match=r"ask_batch was not started: it may use \$0\.\d+"):
        asked_of(Twin(LAW, answers=answer), ask, Budget(dollars="0.05"))


def test_local_models_cost_nothing_and_their_tokens_count():
    async def ask():
        return await model("local:echo").ask("one two three")

    async def main():
        async with Runtime() as runtime:
            free = runtime.start(step(ask)(), budget=Budget(dollars=0))
            await free.wait()
            counted = runtime.start(step(ask)(), budget=Budget(tokens=1000))
            await counted.wait()
            return free.spent()[0].used_dollars, counted.spent()[0].used_tokens

    dollars, tokens = run_virtual(main())
    assert dollars == 0
    assert tokens > 0


def test_a_model_without_a_price_is_refused_by_name():
    async def ask(asked):
        return await asked.ask("Say it.")

    twin = Twin({"*": Law()}, answers="echo")
    with pytest.raises(BudgetUnpriced, match=r"the price of openai-compatible:m is not known"):
        asked_of(twin, ask, Budget(dollars=1), wire="openai-compatible", prices={})
    assert not twin.ledger


def test_a_name_spends_what_its_deployments_do():
    twin = Twin(LAW, answers=answer, prices=TWINS)

    async def main():
        async with (
            on_twin("openai", twin) as one,
            on_twin("openai-compatible", twin) as other,
            Runtime(models={"smart": [[one], [other]]}, prices=PRICES, seed=1) as runtime,
        ):
            asked = [model("smart").ask(f"What of {n}?", max_tokens=80) for n in range(60)]
            run = runtime.start(fan_out(*asked, need=0), budget=Budget(tokens=1500))
            return await run.wait(), run.spent()[0]

    found, used = run_virtual(main())
    assert ledger(twin)[0] == used.used_tokens
    assert 1200 < used.used_tokens <= 1500
    assert {each.status for each in found.outcomes} == {"ok", "skipped"}


def test_what_a_user_says_of_a_model_leaves_its_bounds():
    twin = Twin(LAW, answers=answer, prices=TWINS)

    async def ask(asked):
        return await fan_out(*[asked.ask(f"What of {n}?") for n in range(60)], need=0)

    found, run = asked_of(twin, ask, Budget(tokens=1500), needs=Need(30, 14))
    assert ledger(twin)[0] == run.spent()[0].used_tokens <= 1500
    assert {each.status for each in found.outcomes} == {"ok", "skipped"}


class Lengths:
    """Gives vectors for texts, a token for each of their words."""

    name = "fake:lengths"
    most = 3

    async def embed(self, texts, kind):
        words = sum(len(text.split()) for text in texts)
        return Embedded(tuple([1.0] for _ in texts), Usage(words, 0), self.name)


def test_embeddings_count():
    async def main():
        async with Runtime(prices={"fake:lengths": Price(input=1, output=0)}) as runtime:
            whole = Embedder(Lengths()).embed(["two words"] * 9)
            run = runtime.start(whole, budget=Budget(tokens=250, dollars=1))
            await run.wait()
            return run.spent()[0], await refused(runtime)

    async def refused(runtime):
        with pytest.raises(NotEnough, match="BudgetSpent"):
            await runtime.run(Embedder(Lengths()).embed(["a"] * 9), budget=Budget(tokens=55))

    used, _ = run_virtual(main())
    assert used.used_tokens == 18
    assert used.used_dollars == Decimal("0.000018")
