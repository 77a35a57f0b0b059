"""A small simulator of runs, apart from the engine: programs in, the rows of their record out.

A program is a tuple: what it is, its number in the program (a delay names it) and its parts.
Delays come at a call's very end; of "cling" also at the end of one that was let go, of "work" not.

    ("leaf", n, time, cling, good)      works for `time`; let go, it needs `cling` to stop
    ("row", n, [(gap, program)], gap)   a step: its own time, a call, its own time, ...
    ("fan", n, programs, need, enough, within)
    ("race", n, programs)
    ("graph", n, [(n, time, inputs)])   a fan-in of bound calls, inputs by place
    ("bound", n, time, leaves)          a bound call, which starts its inputs
"""

from dataclasses import dataclass, field
from math import inf

from fanwise.core import CallRow, Header, RunRecord


@dataclass(eq=False)
class Ran:
    """What became of a program."""

    number: int
    step: str
    start: int
    end: int
    status: str = "ok"
    pattern: str | None = None
    facts: dict = field(default_factory=dict)
    parts: list = field(default_factory=list)  # in the order of their starts
    inputs: list = field(default_factory=list)
    cling: int = 0
    own: int = 0  # delay
    cut: float = inf  # when it was let go
    twice: bool = False  # let go when it had let go of others: a record does not say that it had
    beside: bool = False  # its parts are its inputs, and stand beside it


class Simulation:
    """Programs under the delays of some of their calls."""

    def __init__(self, delays=None, how="work"):
        self.delays = delays or {}
        self.clings = how == "cling"

    def go(self, program, start):
        ran = getattr(self, f"_{program[0]}")(start, *program[1:])
        own = self.delays.get(ran.number, 0)
        ran.own = own if self.clings else 0
        ran.end += own
        return ran

    def _leaf(self, start, number, time, cling, good):
        status = "ok" if good else "failed"
        return Ran(number, f"leaf{number}", start, start + time, status, cling=cling)

    def _row(self, start, number, parts, last):
        ran = Ran(number, f"row{number}", start, start)
        for gap, program in parts:
            part = self.go(program, ran.end + gap)
            ran.parts.append(part)
            ran.end = part.end
            if part.status != "ok":
                ran.status = "failed"
                return ran
        ran.end += last
        return ran

    def _bound(self, start, number, time, leaves):
        ran = Ran(number, f"bound{number}", start, start, beside=True)
        ran.parts = ran.inputs = [self.go(leaf, start) for leaf in leaves]
        ran.end = max(part.end for part in ran.parts) + time
        return ran

    def _graph(self, start, number, nodes):
        ran = Ran(number, f"graph{number}", start, start, pattern="fan_out")
        for name, time, inputs in nodes:
            known = [ran.parts[each] for each in inputs if each < len(ran.parts)]
            launch = max((each.end for each in known), default=start)
            own = self.delays.get(name, 0)
            node = Ran(name, f"node{name}", start, launch + time + own, inputs=known)
            node.own = own if self.clings else 0
            ran.parts.append(node)
        ran.end = max(part.end for part in ran.parts)
        return ran

    def _race(self, start, number, programs):
        ran = Ran(number, f"race{number}", start, start, pattern="first")
        ran.parts = [self.go(program, start) for program in programs]
        good = [part for part in ran.parts if part.status == "ok"]
        if not good:
            ran.status = "failed"
            ran.end = max(part.end for part in ran.parts)
            return ran
        winner = min(good, key=lambda part: part.end)
        ran.facts["winner"] = ran.parts.index(winner)
        return self._closed(ran, winner.end)

    def _fan(self, start, number, programs, need, enough, within):
        ran = Ran(number, f"fan{number}", start, start, pattern="fan_out")
        ran.parts = [self.go(program, start) for program in programs]
        reason, time = self._decision(ran, need, enough)
        if within is not None and time > start + within:
            reason, time = "within", start + within
        ended = [part for part in ran.parts if part.end <= time]
        good = sum(part.status == "ok" for part in ended)
        gaps = len(ran.parts) - good
        if gaps:
            ran.facts |= {"gaps": gaps, "closed": reason, "need": need}
            if reason != "all":
                ran.facts["decided"] = time
        ran.status = "ok" if good >= need else "failed"
        return self._closed(ran, time)

    @staticmethod
    def _decision(ran, need, enough):
        good = bad = 0
        for part in sorted(ran.parts, key=lambda part: (part.end, part.status != "ok")):
            good += part.status == "ok"
            bad += part.status != "ok"
            if good == enough:
                return "enough", part.end
            if len(ran.parts) - bad < need:
                return "out of reach", part.end
        return "all", max(part.end for part in ran.parts)

    def _closed(self, ran, time):
        for part in ran.parts:
            if part.end > time:
                let_go(part, time)
        ran.end = max(time, *(part.end for part in ran.parts))
        return ran


def let_go(ran, time):
    """Cancel what still ran: its calls first, then itself."""
    ran.cut = time
    ran.twice = any(part.cut <= time for part in ran.parts)
    ran.status = "cancelled"
    ran.parts = [part for part in ran.parts if part.start < time]
    for part in ran.parts:
        if part.end > time and part.cut > time:
            let_go(part, time)
    ran.facts.pop("closed", None)
    ran.facts.pop("winner", None)
    ran.end = max(time, *(part.end for part in ran.parts), 0) + ran.cling + ran.own


def before_itself(ran):
    """Every call after its own; what was let go after what was not."""
    for part in sorted(ran.parts, key=lambda part: part.cut < inf):
        yield from before_itself(part)
    yield ran


def after_itself(ran, step=None, fan=None):
    """Every call before its own, with the step that made it and its fan-in."""
    yield ran, step, fan
    inner = step if ran.pattern or ran.beside else ran
    for part in ran.parts:
        yield from after_itself(part, inner, ran if ran.pattern else None)


def record_of(ran):
    """Give the record, and the number of each call."""
    order = sorted(after_itself(ran), key=lambda each: each[0].start)
    ids = {each[0]: place for place, each in enumerate(order)}
    above = {each: (step, fan) for each, step, fan in order}
    rows = []
    for each in sorted(before_itself(ran), key=lambda each: each.end):
        step, fan = above[each]
        rows.append(
            CallRow(
                ids[each], ids.get(step), ids.get(fan), each.step, each.pattern, "work", None,
                each.start, each.end, each.status, 1, 0,
                edges=tuple(ids[part] for part in each.inputs), facts=each.facts,
            )
        )  # fmt: skip
    return RunRecord(Header("r", 0, 0), tuple(rows)), {ids[each]: each.number for each in ids}


def simulate(program, delays=None, how="work"):
    """Run a program from time 0; `how` a delayed call is late, where it is let go."""
    return Simulation(delays, how).go(program, 0)


def statuses(ran):
    """What became of each call, by its number."""
    return {each.number: each.status for each in before_itself(ran)}
