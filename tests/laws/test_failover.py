"""No request pays more than one failed attempt for an outage, and a known one is only probed.

From the instant at which a breaker opened, one request at a time finds out whether it is over, a
pause apart; all others are answered elsewhere, also those that waited in the line of what failed.
"""

import asyncio

import pytest
from hypothesis import strategies as st

from fanwise import Breaker, Limit, fan_map
from fanwise.core import BreakerOpen
from fanwise.core._breaker import BreakerState
from fanwise.core._standing import Standing, standing
from fanwise.models import Answer, Model, Usage, model
from fanwise.models._deployments import Deployment
from fanwise.models._failover import Round
from tests.laws.proving import ORDERS, changed, holds, rejects, ticks, virtually

PAUSE = 2.0
BREAKER = Breaker(minimum=1, window=1.0, pause=PAUSE)  # known with the first failure
NEVER = Breaker(minimum=10**6)

OUTAGES = st.lists(st.tuples(ticks(0, 60), ticks(1, 24)), max_size=3)
REGION = st.tuples(st.integers(0, 1), ticks(1, 6), OUTAGES, st.none() | st.integers(1, 3))
ARRIVALS = st.lists(ticks(0, 4), min_size=1, max_size=25)
PROGRAMS = {
    "regions": st.lists(REGION, min_size=1, max_size=3),
    "gaps": ARRIVALS,
    "order": ORDERS,
    "breaker": st.sampled_from([BREAKER, BREAKER, NEVER]),
}


class Region:
    """Answers after its time unless it is out when it is asked; keeps who came, and when."""

    def __init__(self, name, seconds, outages):
        self.name = name
        self.seconds, self.outages = seconds, outages
        self.log = []  # who, begin, end, failed

    async def answer(self, request):
        time = asyncio.get_running_loop().time
        begin = time()
        failed = any(start <= begin < start + length for start, length in self.outages)
        await asyncio.sleep(self.seconds)
        self.log.append((request.asked, begin, time(), failed))
        if failed:
            raise ConnectionError("out")
        return Answer(self.name, Usage(1, 1), self.name, self.name)


def probed_one_at_a_time(log):
    """Say of the attempts at one region that each after a failure is a probe, until one is well."""
    ends = sorted(log, key=lambda each: (each[2], not each[3]))
    known = None  # since when it is known to be out
    probe = None
    for each in ends:
        _, begin, end, failed = each
        if known is None:
            if failed:
                known = end
                probe = next((it for it in sorted(log, key=lambda it: it[1]) if it[1] > end), None)
                assert probe is None or probe[1] >= end + PAUSE
        elif begin > known:
            assert each is probe, "another one went beside the probe"
            later = [it for it in sorted(log, key=lambda it: it[1]) if it[1] > begin]
            assert all(it[1] >= end for it in later), "another one went before it had ended"
            known, probe = (end, None) if failed else (None, None)
            if failed:
                probe = next((it for it in later if it[1] > end), None)
                assert probe is None or probe[1] >= end + PAUSE


def played(regions, gaps, order, breaker, kind):
    made = [
        (tier, Region(f"r:{n}", seconds, outages), width)
        for n, (tier, seconds, outages, width) in enumerate(regions)
    ]
    safe = Region("r:safe", 0.5, [])
    tiers = [[each for tier, each, _ in made if tier == place] for place in (0, 1)]
    names = [[Model(each, breaker=breaker) for each in tier] for tier in tiers if tier]
    limits = {each.name: Limit(at_once=width) for _, each, width in made if width is not None}

    async def asked(number):
        await asyncio.sleep(sum(gaps[: number + 1]))
        smart = model("smart")
        if kind == "ask":
            return await smart.ask(str(number))
        return (await smart.stream(str(number)))[-1]

    async def body(_):
        return await fan_map(asked, range(len(gaps)), at_once=len(gaps), need=0)

    found = virtually(
        body,
        order=order,
        models={"smart": [*names, Model(safe)]},
        limits=limits | {"*": Limit()},
    )
    return found, [each for _, each, _ in made] + [safe]


def law(regions, gaps, order, breaker, kind):
    found, regions = played(regions, gaps, order, breaker, kind)
    assert found.complete, str(found)
    for region in regions:
        came = [each[0] for each in region.log]
        assert len(came) == len(set(came)), "a request was sent there twice"
        if breaker is BREAKER:
            probed_one_at_a_time(region.log)


@pytest.mark.parametrize("kind", ["ask", "stream"])
def test_nobody_pays_twice_and_a_known_outage_is_probed_by_one(kind):
    holds(law, kind=st.just(kind), **PROGRAMS)


WIDTHS = st.lists(
    st.tuples(st.integers(0, 1), ticks(1, 12), st.integers(1, 3)), min_size=2, max_size=3
)


def nobody_waits_beside_free_room(regions, gaps, order):
    """Look between the instants at which things happen: no slot is free where somebody waits."""
    made = [
        (tier, Region(f"r:{n}", seconds, []), width)
        for n, (tier, seconds, width) in enumerate(regions)
    ]
    tiers = [[Model(each) for tier, each, _ in made if tier == place] for place in (0, 1)]
    limits = {each.name: Limit(at_once=width) for _, each, width in made}

    async def asked(number):
        await asyncio.sleep(sum(gaps[: number + 1]))
        return await model("smart").ask(str(number))

    async def look(runtime):
        await asyncio.sleep(1 / 8)
        while runtime.running > 1:  # beside this one
            each = runtime.statistics().limits
            free = [it.name for it in each if it.in_flight < it.at_once]
            waiting = [it.name for it in each if it.waiting]
            assert not (free and waiting), f"{waiting} waits, and {free} has room"
            await asyncio.sleep(1 / 4)

    async def body(runtime):
        work = runtime.start(fan_map(asked, range(len(gaps)), at_once=len(gaps)))
        await look(runtime)
        return await work.wait()

    found = virtually(
        body, order=order, models={"smart": [tier for tier in tiers if tier]}, limits=limits
    )
    assert found.complete


SHARED = {"regions": WIDTHS, "gaps": ARRIVALS, "order": ORDERS}


def test_no_room_is_left_while_somebody_waits():
    holds(nobody_waits_beside_free_room, **SHARED)


def stays(self, deployment):
    return False


def tells_nobody(self):
    return None


def counts_nobody(self):
    return 0


@pytest.mark.parametrize(
    "change",
    [
        (Round, "moves", stays),
        (Round, "_stir", tells_nobody),
        (Deployment, "arriving", counts_nobody),
    ],
    ids=["stays in its line", "nobody is told", "who is on the way does not count"],
)
def test_mutants_that_leave_room_are_rejected(change):
    rejects(nobody_waits_beside_free_room, mutant=changed(change), **SHARED)


def never_refuses(self, now):
    return False


def blind(self, runtime, call):
    return Standing(open=False, retry_in=0.0, probe=False, load=0.0)


def admits_all(self, now):
    if self.until is not None and now < self.until:
        raise BreakerOpen("not yet", self.until - now)
    return self.until is not None


def sees_no_probe(self, runtime, kind, manner, args):
    how = standing(runtime, self.step(kind, manner), args, self.arriving())
    return how._replace(open=False, probe=True) if how.open and not how.retry_in else how


def forgets(self, deployment, call, *, left):
    return True


def gives_up(self, deployment, call, *, left):
    self.last = call.error
    return left


@pytest.mark.parametrize(
    "changes",
    [
        [(BreakerState, "admit", never_refuses), (Deployment, "standing", blind)],
        [(BreakerState, "admit", admits_all), (Deployment, "standing", sees_no_probe)],
        [(Round, "goes_on", forgets)],
        [(Round, "goes_on", gives_up)],
    ],
    ids=["no breaker", "many probes", "forgets whom it asked", "no failover"],
)
def test_mutants_are_rejected(changes):
    rejects(law, mutant=changed(*changes), kind=st.just("ask"), **PROGRAMS)
