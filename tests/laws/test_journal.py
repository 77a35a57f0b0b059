"""Laws 4 and 5 over crashes: at any entry, in any program, what is kept is not repeated.

A process that is killed is a journal that takes nothing any more, and a world in which nothing
happens any more: both are frozen at the same entry, before it or after it. (`tests/crash` does the
same with real processes.)
"""

import asyncio

import pytest
from hypothesis import strategies as st

from fanwise import Retry, current, fan_map, fan_out, step, tree_reduce
from fanwise.core._ambiguous import resolve
from fanwise.core._entries import Kind
from fanwise.core._identity import _occurrence, take_position
from fanwise.core._journal import RunJournal
from fanwise.core._replay import Replay
from fanwise.errors import NotDone, Unresolved
from fanwise.stores import MemoryJournal
from tests.laws.proving import all_of, changed, holds, rejects, replaced, ticks, virtually

BROKEN = (AssertionError, Exception)


class Mortal(MemoryJournal):
    """A journal whose process dies at its nth entry, before or after that one is kept."""

    def __init__(self):
        super().__init__()
        self.left = None
        self.dead = None
        self.after = True

    def tell(self, run, entry):
        if self.dead is None or not self.dead.is_set():
            if self.left == 1 and not self.after:
                self.dead.set()
                return
            super().tell(run, entry)
            self._count()

    def keep(self, run, entry, *, synced):
        self.tell(run, entry)
        if self.dead is not None and self.dead.is_set():
            return asyncio.get_running_loop().create_future()  # nobody will ever hear of it
        return None

    def _count(self):
        if self.left is not None:
            self.left -= 1
            if self.left == 0:
                self.dead.set()

    async def fetch(self, run, entry):
        return self._kept[run][entry.key].data or b""


class World:
    """What has happened, as the oracle knows it."""

    def __init__(self, journal):
        self.journal = journal
        self.did = []
        self.read = []

    @property
    def lives(self):
        return self.journal.dead is None or not self.journal.dead.is_set()

    def act(self, what):
        if self.lives:
            self.did.append((what, current().idempotency_key))

    def look(self):
        if self.lives:
            self.read.append(current().idempotency_key)

    def happened(self, what):
        return any(each == what for each, _ in self.did)


PROGRAMS = {
    "parts": st.lists(
        st.sampled_from(["map", "tree", "gap", "plain", "verified", "keyed", "retried", "caught"]),
        min_size=1,
        max_size=5,
    ),
    "delays": st.lists(ticks(0, 4), min_size=4, max_size=4),
    "changed_delays": st.lists(ticks(0, 4), min_size=4, max_size=4),
    "crashes": st.lists(st.tuples(st.integers(1, 40), st.booleans()), min_size=1, max_size=3),
}


def program(world, delays):  # noqa: C901 - one step a kind
    """A program of parts, whose reads take `delays`: they are not the same after a crash."""

    @step
    async def read(n):
        world.look()
        await asyncio.sleep(delays[n % 4])
        return n

    @step
    async def add(values):
        world.look()
        await asyncio.sleep(delays[len(values)])
        return sum(values)

    @step
    async def fails(n):
        await asyncio.sleep(delays[n % 4])
        raise LookupError(n)

    @step(effect="write")
    async def plain(n):
        await read(n)
        world.act(("plain", n))
        await asyncio.sleep(delays[n % 4])
        return n

    def was_sent(n):
        if not world.happened(("verified", n)):
            raise NotDone
        return n

    @step(effect="write", verify=was_sent)
    async def verified(n):
        world.act(("verified", n))
        await asyncio.sleep(delays[n % 4])
        return n

    @step(effect="write", keyed=True)
    async def keyed(n):
        world.act(("keyed", n))
        await asyncio.sleep(delays[n % 4])
        return n

    @step(retry=Retry(attempts=2, shortest=0, longest=0))
    async def retried(n):
        found = [await read(n), await verified(100 + n), str(current().uuid())]
        if current().attempt == 1:
            raise ConnectionError
        return [*found, await read(n + 1)]

    async def caught(n):
        try:
            await fails(n)
        except LookupError:
            return await read(n)

    async def gap(n):
        found = await fan_out(read(n), fails(n), need=1)
        return list(found.ok)

    async def tree(n):
        return (await tree_reduce(add, [read(n), read(n), 1, 1, 1, 1], arity=2)).value

    async def mapped(n):
        return (await fan_map(read, [n, n + 1, n], at_once=2)).values()

    parts = {"map": mapped, "tree": tree, "gap": gap, "plain": plain, "verified": verified,
             "keyed": keyed, "retried": retried, "caught": caught}  # fmt: skip

    @step
    async def part(number, name):
        return await parts[name](number)

    @step
    async def main(names):
        found = await fan_map(numbered(part), list(enumerate(names)), at_once=2)
        return [found.values(), current().time()]

    return main


def numbered(part):
    @step
    async def numbered_part(pair):
        return await part(*pair)

    return numbered_part


def survives(parts, delays, changed_delays, crashes):
    journal = Mortal()
    world = World(journal)
    started = 0.0
    for number, (at, after) in enumerate(crashes):
        kept = keys(journal)
        seen = len(world.read)
        journal.left, journal.after, journal.dead = at, after, asyncio.Event()
        virtually(dying(program(world, changed_delays if number % 2 else delays)(parts), journal))
        assert not kept & set(world.read[seen:]), "a kept read was run again"
        assert not world.twice(), world.twice()
    journal.left = journal.dead = None
    for _ in range(30):
        kept, seen = keys(journal), len(world.read)
        try:
            value = virtually(whole(program(world, delays)(parts), journal), start=started)
        except Unresolved as error:
            what = [what for what, key in world.did if key == error.key]
            journal.resolve("r", error.key, done=bool(what), result=what[0][1] if what else None)
        else:
            break
        finally:
            assert not kept & set(world.read[seen:]), "a kept read was run again"
    undisturbed = World(Mortal())
    expected = virtually(whole(program(undisturbed, delays)(parts), undisturbed.journal))
    assert value[0] == expected[0]
    assert not world.twice()
    assert {what for what, _ in world.did} == {what for what, _ in undisturbed.did}


def twice(self):
    """Writes that happened more often than anybody was told."""
    found = [each for each in self.did if each[0][0] != "keyed"]
    keys_of_one = {}
    for what, key in self.did:
        keys_of_one.setdefault(what, set()).add(key)
    return [e for e in found if found.count(e) > 1] + [
        what for what, keyset in keys_of_one.items() if len(keyset) > 1
    ]


World.twice = twice


def keys(journal):
    known = any(run.id == "r" for run in journal.runs())
    entries = journal.entries("r") if known else []
    return {each.key.hex() for each in entries if each.kind in (Kind.RESULT, Kind.WRITTEN)}


def dying(call, journal):
    async def body(runtime):
        runtime.journal = journal
        task = asyncio.create_task(runtime.run(call, run_id="r"))
        dead = asyncio.create_task(journal.dead.wait())
        await asyncio.wait([task, dead], return_when=asyncio.FIRST_COMPLETED)
        journal.dead.set()
        dead.cancel()
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled() and task.exception() is not None:
            assert isinstance(task.exception(), Unresolved), task.exception()

    return body


def whole(call, journal):
    async def body(runtime):
        runtime.journal = journal
        return await runtime.run(call, run_id="r")

    return body


def test_runs_survive_crashes_at_any_entry():
    holds(survives, **PROGRAMS, examples=150)


def test_an_intent_after_the_act_is_rejected():
    async def late(self, call):
        return None

    rejects(survives, **PROGRAMS, mutant=changed((RunJournal, "intend", late)), broken=BROKEN)


def test_a_begin_that_hides_an_intent_is_rejected():
    def hiding(self, key):
        self.begun.add(key)
        self.store.tell(self.number, self.entry(self.running[key], key, Kind.BEGUN, b""))

    rejects(survives, **PROGRAMS, mutant=changed((RunJournal, "tell_begun", hiding)), broken=BROKEN)


def test_an_ambiguous_write_that_is_just_sent_again_is_rejected():
    async def again(journal, call, found, why):
        return None

    rejects(survives, **PROGRAMS, mutant=replaced(resolve, again), broken=BROKEN)


def test_gaps_that_are_tried_again_are_rejected():
    def none_counts(self, entry):
        return False

    def unchecked(self, call, key, where, parent):
        return None

    mutant = all_of(changed((Replay, "counts", none_counts)), changed((Replay, "asked", unchecked)))
    rejects(flaky_gap, **GAPS, mutant=mutant, broken=BROKEN)


GAPS = {"crash": st.integers(1, 12), "after": st.booleans()}


def flaky_gap(crash, after):
    """A branch that fails once only: what its parent did then must be gone on with."""
    journal = Mortal()
    world = World(journal)
    failed = []

    @step
    async def flaky():
        if not failed and world.lives:
            failed.append(1)
            raise LookupError
        return "there"

    @step
    async def read(n):
        world.look()
        return n

    @step(effect="write", keyed=True)
    async def report(names):
        world.act(tuple(names))

    @step
    async def main():
        found = await fan_out(read(1), flaky(), need=1)
        await report(list(found.ok))
        await read(2)
        return list(found.ok)

    journal.left, journal.after, journal.dead = crash, after, asyncio.Event()
    virtually(dying(main(), journal))
    journal.left = journal.dead = None
    virtually(whole(main(), journal))
    assert len({what for what, _ in world.did}) == 1, world.did


def test_a_gap_is_seen_again_by_who_went_on():
    holds(flaky_gap, **GAPS)


def fickle(crash, after):
    """What a step was given once it is given again, and does what follows from it once."""
    journal = Mortal()
    world = World(journal)
    answers = []

    @step
    async def draw():
        answers.append(1)
        return len(answers)

    @step(effect="write", keyed=True)
    async def report(n):
        world.act(n)

    @step
    async def main():
        await report(await draw())
        await report(await draw())

    journal.left, journal.after, journal.dead = crash, after, asyncio.Event()
    virtually(dying(main(), journal))
    journal.left = journal.dead = None
    virtually(whole(main(), journal))
    told = {}
    for what, key in world.did:
        told.setdefault(key, set()).add(what)
    assert len(told) == 2, "two writes are two, and never more"
    assert all(len(each) == 1 for each in told.values())


def test_what_was_seen_is_seen_again():
    holds(fickle, **GAPS)


def test_a_result_that_is_seen_before_it_is_kept_is_rejected():
    keep = RunJournal.keep

    async def hasty(self, call, key, value):
        return value if call.policy.effect == "read" else await keep(self, call, key, value)

    rejects(fickle, **GAPS, mutant=changed((RunJournal, "keep", hasty)), broken=BROKEN)


def two_writes(crash, after):
    """Two identical writes are two, wherever the run was killed between them."""
    journal = Mortal()
    world = World(journal)

    @step(effect="write", keyed=True)
    async def send():
        world.act("sent")

    @step
    async def main():
        await send()
        await send()

    journal.left, journal.after, journal.dead = crash, after, asyncio.Event()
    virtually(dying(main(), journal))
    journal.left = journal.dead = None
    virtually(whole(main(), journal))
    assert len({key for _, key in world.did}) == 2


def test_two_identical_writes_stay_two():
    holds(two_writes, **GAPS)


def test_occurrences_that_are_used_again_are_rejected():
    def first_always(call, here, base):
        return 0

    rejects(two_writes, **GAPS, mutant=replaced(_occurrence, first_always), broken=BROKEN)


TREES = {"delays": st.permutations([1.0, 2.0, 3.0]), "other": st.permutations([1.0, 2.0, 3.0])}


def same_groups(delays, other):
    """Equal groups of a tree have the keys of their places, whichever is done first."""
    found = []
    for each in (delays, other):

        @step
        async def late(n, after):
            await asyncio.sleep(after)
            return n

        @step
        async def merge(values):
            below = [key for value in values if value != 1 for key in value]
            return [current().idempotency_key, *below]

        items = [late(1, after) for after in each for _ in range(2)]
        tree = tree_reduce(merge, items, arity=2)
        found.append(virtually(whole(tree, MemoryJournal())).value)
    assert found[0] == found[1]


@pytest.mark.parametrize("mutant", [False, True])
def test_equal_groups_of_a_tree(mutant):
    if not mutant:
        holds(same_groups, **TREES)
        return

    def ignored(here, position):
        return None

    rejects(same_groups, **TREES, mutant=replaced(take_position, ignored), broken=BROKEN)
