"""Laws of shared gates, on random workloads in virtual time, each with mutants that it rejects."""

import asyncio
from itertools import count

from hypothesis import strategies as st

from fanwise.core import Amount
from fanwise.stores import _memory, _purse
from fanwise.stores._visit import Rate
from fanwise.testing import no_orphans, run_virtual
from tests.laws.proving import changed, holds, rejects
from tests.stores.workers import Far, Worker, manner, memory_board, terms

PARTS = 4  # of a second: the grid of times


@st.composite
def jobs(draw):
    """Draw (worker, arrival, reserved in, reserved out, used in, used out, seconds)."""
    found = []
    for _ in range(draw(st.integers(1, 24))):
        read, written = draw(st.integers(0, 40)), draw(st.integers(0, 40))
        found.append(
            (
                draw(st.integers(0, 3)),
                draw(st.integers(0, 20)) / PARTS,
                Amount(1, read, written),
                Amount(1, draw(st.integers(0, read)), draw(st.integers(0, written))),
                draw(st.integers(0, 20)) / PARTS,
            )
        )
    return found


limits = st.builds(
    terms,
    at_once=st.none() | st.integers(1, 4),
    requests=st.none() | st.tuples(st.sampled_from([30, 60, 600]), st.integers(1, 8)),
    tokens=st.none() | st.tuples(st.sampled_from([77, 600, 6000]), st.integers(80, 200)),
    read=st.none() | st.tuples(st.sampled_from([77, 600]), st.integers(40, 100)),
    written=st.none() | st.tuples(st.sampled_from([77, 600]), st.integers(40, 100)),
)
losses = st.lists(st.sampled_from(["asked", "answered"]), max_size=12).map(
    lambda lost: [each for loss in lost for each in (loss, None)]  # never so long that one lapses
)
latencies = st.sampled_from([0.0, 0.003, 0.2])
leases = st.sampled_from([1, 4, 64])


async def worked(limit, work, *, lease=8, latency=0.0, lost=(), watch=None):
    """Let workers do their jobs; give the workers and the board."""
    board = Far(memory_board(), latency, lost)
    numbers = count(1)
    workers = [Worker(i, limit, board, manner(lease=lease), numbers) for i in range(4)]

    async def job(worker, arrival, amount, used, seconds):
        await asyncio.sleep(arrival)
        await workers[worker].attempt(amount, used, seconds, watch and (lambda: watch(workers)))

    await asyncio.gather(*[job(*each) for each in work])
    return workers, board


async def closed(workers):
    for worker in workers:
        await worker.gate.aclose()


def run(main):
    async def whole():
        async with no_orphans():
            return await main()

    return run_virtual(whole(), horizon=5_000)


def most_in_any_window(done, dimension, rate):
    """Give the worst excess over burst + rate x t, the provider counting whenever it hurts."""
    worst = 0.0
    for start in {each.ended for each in done} | {each.began for each in done}:
        for end in {each.began for each in done} | {each.ended for each in done}:
            if end >= start:
                there = [e.used[dimension] for e in done if e.began <= end and e.ended >= start]
                bound = rate.capacity + (end - start) * 1e6 * rate.refill / rate.scale
                worst = max(worst, sum(there) - bound)
    return worst


def no_window_sees_more(limit, work, lease, latency, lost):
    async def main():
        workers, _ = await worked(limit, work, lease=lease, latency=latency, lost=lost)
        await closed(workers)
        return [each for worker in workers for each in worker.done]

    done = run(main)
    assert len(done) == len(work)
    for dimension, rate in enumerate(limit.rates):
        if rate is not None:
            first = 0 if dimension else 1  # a request counts when it is sent
            seen = [e if first == 0 else e._replace(ended=e.began) for e in done]
            assert most_in_any_window(seen, dimension, rate) <= 1e-3


WORK = (limits, jobs(), leases, latencies, losses)


def test_no_window_sees_more_than_burst_and_rate():
    holds(no_window_sees_more, *WORK, examples=40)


def test_a_lease_without_a_place_in_the_bucket_is_rejected():
    def free(self, terms, floors, now):
        return original(self, terms, [0, 0, 0, 0], now)

    original = _memory.Bucket.refill
    rejects(no_window_sees_more, *WORK, mutant=changed((_memory.Bucket, "refill", free)))


def test_a_visit_that_happens_twice_is_rejected():
    """The mutant's answers are those of new visits, whatever their number."""

    def numbered(self, listeners, *, known):
        self.visit = self.visit._replace(number=next(fresh))
        return original(self, listeners, known=known)

    fresh = count(1)
    original = _memory.Decision.made
    mutant = changed((_memory.Decision, "made", numbered))
    rejects(settled_once, *WORK, mutant=mutant)


SLOW = Rate.per_minute(0.01, 200_000)  # nobody waits, and nothing comes back


def settled_once(limit, work, lease, latency, lost):
    """After the end what is spent is what was used: nothing twice, nothing lost.

    Where the board has forgotten a worker that it could not hear for long, it may be more.
    """

    async def main():
        slow = limit._replace(rates=tuple(rate and SLOW for rate in limit.rates))
        workers, board = await worked(slow, work, lease=lease, latency=latency, lost=lost)
        for worker in workers:
            for each in worker.done:  # settled twice, and after its end: nothing changes
                worker.gate.settle(each.number, Amount(1, 0, 0))
                worker.gate.release(each.number)
        board.losses.clear()  # who closes while nobody hears gives nothing back
        await closed(workers)
        return slow, board.lost, workers, board.board.buckets.get("smart")

    slow, lost, workers, bucket = run(main)
    done = [each for worker in workers for each in worker.done]
    for dimension, rate in enumerate(slow.rates):
        if rate is not None and bucket is not None:
            used = sum(each.used[dimension] for each in done)
            spent = bucket.spent[dimension] / rate.scale
            assert spent >= used - 0.5, (dimension, spent, used)
            assert lost or spent <= used + 0.5, (dimension, spent, used)


def test_what_is_settled_counts_once():
    holds(settled_once, *WORK, examples=40)


def test_a_second_settlement_that_counts_is_rejected():
    def forgetful(self, number, used, now):
        held = self.held.get(number)
        found = original(self, number, used, now)
        if held is not None:
            self.held[number] = held  # it stays, to be settled once more
            for d, kept in enumerate(held.kept):
                self.kept[d] += kept
        return found

    original = _purse.Purse.settle
    rejects(settled_once, *WORK, mutant=changed((_purse.Purse, "settle", forgetful)))


def width_holds(limit, work, lease, latency, lost):
    def watch(workers):
        in_use = sum(worker.in_use for worker in workers)
        assert limit.at_once is None or in_use <= limit.at_once, (in_use, limit.at_once)

    async def main():
        workers, board = await worked(
            limit, work, lease=lease, latency=latency, lost=lost, watch=watch
        )
        await closed(workers)
        held = [h.slots for b in board.board.buckets.values() for h in b.holders.values()]
        assert sum(held) == 0
        assert sum(len(worker.done) for worker in workers) == len(work)

    run(main)


def test_the_width_holds_for_all_workers_together():
    holds(width_holds, *WORK, examples=40)


def test_a_width_of_each_worker_is_rejected():
    def alone(self):
        return self.visit.held

    original = _memory.Decision.wait_of

    def wait_of(self, holder):
        others, self.bucket.holders = self.bucket.holders, {self.visit.holder: holder}
        try:
            return original(self, holder)
        finally:
            self.bucket.holders = others

    rejects(width_holds, *WORK, mutant=changed((_memory.Decision, "wait_of", wait_of)))
