"""Failover before the twin: several regions and keys of one model, and another model behind them."""

from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from fanwise import Limit, Runtime, fan_map, providers
from fanwise.models import Embedder, Model, embedder, model
from fanwise.models.tools import run_tools, tool_specs
from fanwise.testing import no_orphans, run_virtual
from fanwise.testing.twin import Calls, Fault, Law, Quota, Twin
from tests.providers.on_twin import IMPORTED

assert IMPORTED

SLOW = Law(first=0.4, per_second=100)
AWAY = [Fault("outage", between=(10.0, 40.0))]


def twin(*faults, **more):
    return Twin({"*": SLOW}, faults=faults, **more)


@asynccontextmanager
async def clients(*twins):
    """Give connections to each of the twins."""
    async with AsyncExitStack() as stack:
        with no_orphans():
            yield [await stack.enter_async_context(each.client()) for each in twins]


def gpt(http, region, key="k", **policy):
    made = providers.openai("m", key=key, base_url="http://twin/v1", http=http)
    return Model(made, name=f"openai:m {region}", **policy)


def claude(http, **policy):
    made = providers.anthropic("claude-haiku-4-5", key="k", base_url="http://twin", http=http)
    return Model(made, **policy)


def two(a, b):
    """Give a runtime with two regions, the first one first."""
    return Runtime(models={"smart": [gpt(a, "west"), gpt(b, "east")]}, seed=1)


def statuses(of):
    return [entry.status for entry in of.ledger]


def test_an_outage_of_a_region_costs_a_few_requests_one_attempt_each():
    west, east, other = twin(*AWAY), twin(), twin()

    async def main():
        async with clients(west, east, other) as (a, b, c):
            smart = [[gpt(a, "west"), gpt(b, "east")], claude(c)]
            async with Runtime(models={"smart": smart}, seed=1) as runtime:
                run = runtime.start(fan_map(model("smart").ask, map(str, range(800)), at_once=4))
                found = await run.wait()
                return found, run.record().calls, runtime.statistics()

    found, calls, so_far = run_virtual(main())
    assert found.complete
    names = [row for row in calls if row.step == "smart"]
    paid = [row.facts.get("failed_over", 0) for row in names]
    assert max(paid) == 1
    assert (
        sum(paid) == statuses(west).count(503) <= 20
    )  # five or so, and a probe every five seconds
    assert {row.facts["deployment"] for row in names} == {"openai:m west", "openai:m east"}
    assert statuses(other) == []  # nobody needed it
    after = [entry for entry in west.ledger if entry.time > 46]
    assert len(after) > 20  # it is asked again
    assert {entry.status for entry in after} == {200}
    by_name = {each.name: each for each in so_far.deployments}
    assert by_name["openai:m west"].failed == sum(paid)
    assert by_name["openai:m west"].state == "closed"


def test_another_model_takes_over_where_all_regions_are_out():
    west, east, other = twin(*AWAY), twin(*AWAY), twin()

    async def main():
        async with clients(west, east, other) as (a, b, c):
            smart = [[gpt(a, "west"), gpt(b, "east")], claude(c)]
            async with Runtime(models={"smart": smart}, seed=1) as runtime:
                run = runtime.start(fan_map(model("smart").ask, map(str, range(400)), at_once=4))
                assert (await run.wait()).complete
                return [row for row in run.record().calls if row.step == "smart"]

    rows = run_virtual(main())
    assert max(row.facts.get("failed_over", 0) for row in rows) <= 2  # one for each outage
    meanwhile = {row.facts["model"] for row in rows if 16e6 < row.start < 39e6}
    assert meanwhile == {"anthropic:claude-haiku-4-5"}


def test_keys_with_quotas_of_their_own_are_both_used_and_neither_refuses():
    quota = Quota(requests_per_minute=60, burst_s=60)
    one = twin(quota=quota)
    limits = {"openai:m *": Limit(requests_per_minute=60, burst=60)}

    async def main():
        async with clients(one) as (http,):
            smart = [[gpt(http, key, key=key) for key in ("red", "blue")]]
            async with Runtime(models={"smart": smart}, limits=limits, seed=1):
                return await fan_map(model("smart").ask, map(str, range(240)), at_once=240)

    assert run_virtual(main()).complete
    assert set(statuses(one)) == {200}
    assert len(one.ledger) == 240
    assert one.ledger[-1].time < 64  # 120 at once, and 120 in the minute after


def test_a_429_sends_its_request_to_another_key_at_once():
    west = twin(Fault("status", status=429, retry_after=20.0, nth=[3]))
    east = twin()

    async def main():
        async with clients(west, east) as (a, b), two(a, b):
            return [await model("smart").ask(str(n)) for n in range(30)]

    answers = run_virtual(main())
    assert len(answers) == 30
    assert statuses(west)[:3] == [200, 200, 429]
    refused = west.ledger[2]
    assert not [each for each in west.ledger if refused.time < each.time < refused.time + 20]
    assert east.ledger[0].time == refused.time  # at once


def test_a_slow_region_is_left_by_its_timeout():
    west, east = twin(Fault("stall", seconds=None)), twin()

    async def main():
        async with clients(west, east) as (a, b), two(a, b):
            smart = model("smart").using(timeout=2.0)
            return [(await smart.ask(str(n))).model for n in range(12)]

    assert len(run_virtual(main())) == 12
    assert len(east.ledger) == 12
    assert len(west.ledger) == 5  # with which its breaker opened


def test_streams_types_and_tools_go_over_names():
    west = twin(Fault("status", status=529), answers=Calls([("area", {"metres": 3})]))
    east = twin(answers=Calls([("area", {"metres": 3})]))
    typed = twin()

    async def area(metres: int) -> int:
        """Give the area of a square."""
        return metres * metres

    async def main():
        async with clients(west, east, typed) as (a, b, c):
            names = {"smart": [gpt(a, "west"), gpt(b, "east")], "typed": gpt(c, "typed")}
            async with Runtime(models=names, seed=1) as runtime:
                stream = model("smart").stream("How large?", tools=tool_specs([area]))
                turn = await run_tools(stream, [area])
                fits = await model("typed").ask("name: Ada", output=dict[str, str])
                return turn, fits, runtime.statistics().deployments

    turn, fits, so_far = run_virtual(main())
    assert [each.text for each in turn.results] == ["9"]
    assert isinstance(fits.value, dict)
    assert {each.name: (each.answered, each.failed) for each in so_far} == {
        "openai:m west": (0, 1), "openai:m east": (1, 0), "openai:m typed": (1, 0),
    }  # fmt: skip


def test_embedders_of_one_model_stand_for_each_other():
    west, east = twin(Fault("outage", between=(0, 99))), twin()

    def made(http, region, name="text-embedding-3-small"):
        adapter = providers.openai(name, key="k", base_url="http://twin/v1", http=http)
        return Embedder(adapter, name=f"vectors {region}")

    async def main():
        async with clients(west, east) as (a, b):
            names = {
                "vectors": [made(a, "west"), made(b, "east")],
                "mixed": [made(a, "north"), made(b, "south", "text-embedding-3-large")],
                "smart": "local:echo",
            }
            async with Runtime(models=names, seed=1) as runtime:
                run = runtime.start(embedder("vectors").embed(["a tree", "a house"]))
                found = await run.wait()
                with pytest.raises(ValueError, match=r"models\['mixed'\] has embedders of several"):
                    await embedder("mixed").embed(["a"])
                with pytest.raises(TypeError, match=r"vectors west is an embedder"):
                    await model("vectors").ask("?")
                with pytest.raises(ValueError, match="embedder='local:echo' is not known"):
                    await embedder("smart").embed(["a"])
                return found, run.record().calls

    found, calls = run_virtual(main())
    assert len(found.vectors) == 2
    assert [(row.step, row.status) for row in calls if row.step.startswith("vectors ")] == [
        ("vectors west", "failed"), ("vectors east", "ok"),
    ]  # fmt: skip
