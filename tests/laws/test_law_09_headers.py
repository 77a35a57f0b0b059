"""Law 9 for headers: what an answer says is left corrects a limit, downwards, once, without harm.

A provider with a bucket of its own, other clients of it, and a gate here. What a response says is
made when its request comes, or when its answer goes, and is heard when the attempt ends.
"""

from hypothesis import strategies as st

from fanwise.core import Amount, Limit
from fanwise.core import Remaining as Left
from fanwise.core._buckets import Bucket, Buckets
from tests.laws.proving import changed, holds, rejects, ticks

SIZE = 60  # tokens in the bucket, and a minute


class Provider:
    """One bucket of tokens: what is read is taken when a request comes, the rest at its end."""

    def __init__(self):
        self.level, self.at = float(SIZE), 0.0

    def left(self, now):
        self.level = min(SIZE, self.level + (now - self.at) * SIZE / 60)
        self.at = now
        return self.level

    def take(self, now, tokens):
        self.level = self.left(now) - tokens

    def said(self, now):
        """Give what the headers say: whole tokens, and no debts."""
        return Left(tokens=max(0, int(self.left(now) + 1e-9)))

    def __repr__(self):
        return f"<Provider {self.level} at {self.at}>"


class Attempt:
    """One that was admitted here: what it reserved and uses, when it ends, what it will hear."""

    def __init__(self, number, end, reserved, used, said):
        self.number, self.end, self.reserved, self.used, self.said = (
            number, end, reserved, used, said)  # fmt: skip

    def __repr__(self):
        return f"<{self.number} to {self.end}: {self.used} of {self.reserved}>"


class World:
    """A gate, its provider, and what others take of it."""

    def __init__(self, charge="use"):
        self.now = 0.0
        self.gate = Buckets(Limit(tokens_per_minute=SIZE, charge=charge), lambda: self.now)
        self.provider = Provider()
        self.live = []
        self.refused = 0
        self.charge = charge

    def begin(self, number, read, written, eighths, seconds, *, late):
        """Admit an attempt where the gate does, and say whether it did."""
        if self.gate.admit_nowait(number, Amount(1, read, written)) != 0.0:
            return False
        early = read + (written if self.charge == "admission" else 0)
        if self.provider.left(self.now) < early - 1e-6:
            self.refused += 1
            early = 0
        self.provider.take(self.now, early)
        said = None if late else self.provider.said(self.now)
        used = Amount(1, read, written * eighths // 8)
        self.live.append(Attempt(number, self.now + seconds, Amount(1, read, written), used, said))
        return True

    def pass_time(self, until):
        """Let those end whose time comes, in order; each tells what it heard, then it is settled."""
        for one in sorted(self.live, key=lambda each: (each.end, each.number)):
            if one.end <= until:
                self.now = max(self.now, one.end)
                self.gate.correct(one.number, one.said or self.provider.said(self.now))
                if self.charge == "use":
                    self.provider.take(self.now, one.used.tokens_out)
                self.gate.settle(one.number, one.used)
                self.gate.release(one.number)
                self.live.remove(one)
        self.now = until

    @property
    def corrected(self):
        """The tokens that were taken off by corrections."""
        return self.gate.statistics().corrections

    def __repr__(self):
        return f"<World at {self.now}: {self.gate!r}, {self.provider!r}>"


# Seconds before it comes, tokens read and written that it reserves, the part of these that it
# writes (in eighths), seconds that it takes, whether its headers are made at its end.
ATTEMPT = st.tuples(
    ticks(0, 40), st.integers(0, 12), st.integers(0, 12), st.integers(0, 8), ticks(0, 160),
    st.booleans(),
)  # fmt: skip
ALONE = {
    "attempts": st.lists(ATTEMPT, min_size=1, max_size=30),
    "charge": st.sampled_from(["use", "admission"]),
}


def no_harm(attempts, charge):
    """Where nobody else uses the quota, no header changes anything, in whatever order they come."""
    world = World(charge)
    for number, (gap, read, written, eighths, seconds, late) in enumerate(attempts):
        world.pass_time(world.now + gap)
        world.begin(number, read, written, eighths, seconds, late=late)
        assert not world.refused
        assert not world.gate.statistics().corrections
    world.pass_time(world.now + 1000)
    assert not world.gate.statistics().corrections
    assert world.gate.statistics().room["tokens_per_minute"] == 1.0


def test_headers_do_no_harm():
    holds(no_harm, **ALONE, examples=400)


def harmless(*changes):
    rejects(no_harm, **ALONE, mutant=changed(*changes), examples=1000)


def only(*, end):
    """A mutant that takes every answer for one that was made at one end of its attempt."""

    def correct(self, believed, said):
        belief = self.level + self.beside if end else believed
        shortage = belief - self.lost - said * self.part
        if shortage < self.part:
            return False
        self.level -= shortage
        self.lost += shortage
        self.beside += shortage
        return True

    return Bucket, "correct", correct


def test_headers_reject_one_that_takes_an_old_answer_for_a_new_one():
    harmless(only(end=True))


def test_headers_reject_one_that_takes_a_new_answer_for_an_old_one():
    harmless(only(end=False))


def test_headers_reject_what_is_in_flight_taken_twice():
    def without_coming(self, believed, said):
        coming = self.beside - self.lost
        shortage = min(believed - self.lost, self.level + coming) + coming - said * self.part
        if shortage >= self.part:
            self.level -= shortage
            self.lost += shortage
            self.beside += shortage
        return shortage >= self.part

    harmless((Bucket, "correct", without_coming))


SHARED = {
    "foreign": st.integers(0, SIZE),
    "attempts": st.lists(ATTEMPT, min_size=2, max_size=30),
    "charge": st.sampled_from(["use", "admission"]),
}


def learned_once(foreign, attempts, charge):
    """What others took is taken off here, once, and from then on nobody meets a refusal."""
    world = World(charge)
    world.provider.take(0.0, foreign)
    taken = [0]
    correct = Bucket.correct

    def counted(self, believed, said):
        before = self.level
        found = correct(self, believed, said)
        taken[0] += before - self.level
        assert self.level <= before, "a header let somebody in"
        return found

    with changed((Bucket, "correct", counted)):
        first = world.begin("first", 0, 0, 0, 0.0, late=False)
        assert first
        world.pass_time(0.0)  # its answer tells of the foreign tokens
        for number, (gap, read, written, eighths, seconds, late) in enumerate(attempts):
            world.pass_time(world.now + gap)
            world.begin(number, read, written, eighths, seconds, late=late)
        assert not world.refused
        world.pass_time(world.now + 1000)
    part = world.gate._buckets[0].part
    rounding = part if foreign else 0
    assert taken[0] <= foreign * part + rounding, "one shortage counted twice"


def test_headers_are_learned_once():
    holds(learned_once, **SHARED, examples=400)


def test_headers_reject_one_that_is_not_heard():
    mutant = changed((Buckets, "correct", lambda self, number, left: None))
    rejects(learned_once, **SHARED, mutant=mutant)


def test_headers_reject_one_shortage_counted_with_each_answer():
    def forgetful(self, believed, said):
        shortage = believed - self.lost - said * self.part
        self.level -= max(0, shortage)
        return shortage > 0

    rejects(learned_once, **SHARED, mutant=changed((Bucket, "correct", forgetful)), examples=1000)


def test_headers_reject_what_is_in_flight_forgotten():
    def level_only(self, believed, said):
        shortage = self.level - said * self.part
        self.level -= max(0, shortage)
        return shortage > 0

    rejects(learned_once, **SHARED, mutant=changed((Bucket, "correct", level_only)), examples=3000)


def test_headers_reject_a_limit_that_rises_with_them():
    def follows(self, believed, said):
        self.level = said * self.part - self.beside + self.lost
        return True

    rejects(learned_once, **SHARED, mutant=changed((Bucket, "correct", follows)))
