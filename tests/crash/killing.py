"""One crash point: processes that kill themselves at a write, and what must hold afterwards."""

import asyncio
import contextlib
import json
import os
import signal
import sys
import traceback
from collections import Counter
from typing import NamedTuple

from fanwise import Runtime
from fanwise.core._entries import Kind
from fanwise.errors import Unresolved
from fanwise.stores import JournalFile, SqliteJournal
from tests.crash import workload

MOMENTS = ("told", "open", "kept")
RUN = "crash"
UNRESOLVED, BROKEN = 3, 4
SEED = 7


class Point(NamedTuple):
    """The write at which a process ends, and the moment of it."""

    write: int
    moment: str


class Doomed:
    """Counts the writes of this process, and ends it at one of them."""

    def __init__(self, point, count_file):
        self.point = point
        self.counted = 0
        self.kinds = os.open(count_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def count(self, kind, moment="told"):
        """Count a write that was told, at whose moment this may be the end."""
        self.counted += 1
        os.write(self.kinds, f"{int(kind)}\n".encode())
        if self.point is not None and self.point.write == self.counted:
            self.die_at(moment)

    def die_at(self, moment):
        if self.point is not None and self.point.moment == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    def is_due(self, entries):
        """Whether the write of the point has been told, and so is in this group or was before."""
        return self.point is not None and self.counted >= self.point.write and bool(entries)


def doom(doomed):  # noqa: C901 - one wrapper a method
    """Count in the journal, and look at its transactions."""
    tell, keep, end = SqliteJournal.tell, SqliteJournal.keep, SqliteJournal.end
    begin, write, execute = JournalFile.begin, JournalFile.write, JournalFile._execute

    def counted_tell(self, run, entry):
        tell(self, run, entry)
        doomed.count(entry.kind)

    def counted_keep(self, run, entry, *, synced):
        kept = keep(self, run, entry, synced=synced)
        doomed.count(entry.kind)
        return kept

    def counted_end(self, run, status, error):
        end(self, run, status, error)
        if status:
            doomed.count(Kind.RUN_ENDED)

    def counted_begin(self, head):
        doomed.count(Kind.RUN_BEGUN)
        opened = begin(self, head)
        if doomed.is_due([head]):
            doomed.die_at("kept")
        return opened

    def watched_execute(self, statement, values=()):
        if statement == "COMMIT" and doomed.is_due([statement]):
            doomed.die_at("open")
        return execute(self, statement, values)

    def watched_write(self, told, endings, *, synced):
        write(self, told, endings, synced=synced)
        if doomed.is_due([*told, *endings]):
            doomed.die_at("kept")

    SqliteJournal.tell, SqliteJournal.keep = counted_tell, counted_keep
    SqliteJournal.end = counted_end
    JournalFile.begin, JournalFile.write = counted_begin, watched_write
    JournalFile._execute = watched_execute


async def work(place):
    async with Runtime(journal=f"sqlite:///{place}/runs.db", seed=SEED) as runtime:
        return await runtime.run(workload.workload(), run_id=RUN)


def execution(place, point):
    """Run the workload in a process of its own; give how that ended."""
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        return status
    code = BROKEN
    try:
        workload.effects = place / "effects"
        doom(Doomed(point, place / "kinds"))
        value = asyncio.run(work(place))
        (place / "value").write_text(json.dumps(value))
        code = 0
    except Unresolved as error:
        (place / "unresolved").write_text(f"{error.run} {error.key}")
        code = UNRESOLVED
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def undisturbed(place):
    """Run the workload whole; give the number of its writes, and its value without times."""
    place.mkdir()
    assert execution(place, None) == 0, "the workload itself fails"
    return len((place / "kinds").read_text().split()), value_of(place)


def value_of(place):
    """The value of a run that ended, without the times, which were told to somebody at least."""
    workload.effects = place / "effects"
    value = json.loads((place / "value").read_text())
    for group in value:
        told = group.pop()
        assert workload.happened("time", group[0], told), f"nobody was told the time {told}"
    return value


def kept_keys(place):
    """The keys of the calls whose results are kept."""
    with contextlib.closing(JournalFile(f"{place}/runs.db")) as file:
        if not file.runs():
            return set()
        calls = file.calls(RUN)
    return {call.key for call in calls if call.state in ("ok", "written")}


def campaign(place, point, draw, writes, value, kinds, sums):
    """Kill at a point, kill a recovery, recover, and compare."""
    place.mkdir()
    status = execution(place, point)
    assert os.WIFSIGNALED(status), f"{point} was never reached: {status}"
    recoveries = [Point(draw.randint(1, max(2, writes - point.write)), draw.choice(MOMENTS)), None]
    for again in [*recoveries, *[None] * 40]:
        kept = kept_keys(place)
        seen = len(workload_lines(place))
        status = execution(place, again)
        refuse_repeated(point, kept, workload_lines(place)[seen:])
        if os.WIFSIGNALED(status):
            sums["kills in recoveries"] += 1
        elif os.waitstatus_to_exitcode(status) == UNRESOLVED:
            sums["questions"] += 1
            kinds[Kind.NOT_DONE] += answer(place, sums)
        elif status == 0:
            break
        else:
            raise AssertionError(f"{point}, {again}: a recovery failed, in {place}")
    found = value_of(place)
    pairs = [pair for pair in zip(found, value, strict=True) if pair[0] != pair[1]]
    assert not pairs, f"{point}: the value differs: {pairs[0][0]} was {pairs[0][1]}"
    compare_effects(point, workload_lines(place))
    kinds.update(Kind(int(kind)) for kind in (place / "kinds").read_text().split())
    sums["points"] += 1


def workload_lines(place):
    workload.effects = place / "effects"
    return workload.lines()


def refuse_repeated(point, kept, lines):
    """No call whose result is kept has run again."""
    for line in lines:
        what, *rest = line.split()
        if what in ("read", "plain", "keyed"):
            assert rest[-1] not in kept, f"{point}: {line} was run again"


def answer(place, sums):
    """Say what somebody who looks at the world would say."""
    run, key = (place / "unresolved").read_text().split()
    done = [line for line in workload_lines(place) if line.endswith(key)]
    assert len(done) <= 1, f"a write acted twice before anybody was asked: {done}"
    with contextlib.closing(JournalFile(f"{place}/runs.db")) as file:
        result = f"sent {done[0].split()[1]}" if done else None
        file.resolve(run, key, done=bool(done), result=result)
    sums["answered done" if done else "answered not done"] += 1
    return not done


def compare_effects(point, lines):
    """Every write is there: once, or as often as one likes under one key where that is honoured."""
    counted = Counter(line for line in lines if line.split()[0] in ("verified", "plain", "keyed"))
    sent = Counter(tuple(line.split()[:2]) for line in counted)
    expected = {
        (what, str(n)) for what in ("verified", "plain", "keyed") for n in range(workload.GROUPS)
    }
    assert set(sent) == expected, f"{point}: {set(sent) ^ expected} is lost, or was never asked for"
    assert set(sent.values()) == {1}, f"{point}: one write under two keys: {sent}"
    for line, times in counted.items():
        assert times == 1 or line.startswith("keyed"), f"{point}: {line} happened {times} times"
