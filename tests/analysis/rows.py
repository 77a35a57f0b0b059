"""Rows written by hand, and any rows at all."""

from hypothesis import strategies as st

from fanwise.core import AttemptRow, CallRow, Header, RunRecord

FACTS = [{}, {"closed": "enough"}, {"closed": "within"}, {"asked_by": 3}, {"winner": 0}]
STATUSES = ["ok", "ok", "failed", "skipped", "cancelled", "timed_out", "reused"]


def row(call, start, end, **more):
    """A call of the step `s`, made by call 0."""
    blank = {"parent": None if call == 0 else 0, "fan_in": None, "step": "s", "pattern": None}
    blank |= {"role": "work", "key": None, "status": "ok", "attempts": 1, "load": 0}
    return CallRow(call=call, start=start, end=end, **(blank | more))


def recorded(*rows, attempts=()):
    """A record of rows, in the order of their ends; of one instant, the inner ones first."""
    ordered = tuple(sorted(rows, key=lambda each: (each.end, -each.call)))
    return RunRecord(Header("r", 0, 0), ordered, tuple(attempts))


@st.composite
def records(draw):
    """Any record, whether or not a program could have made it."""
    rows, attempts = [], []
    ids = st.none() | st.integers(0, 10)
    for call in range(draw(st.integers(1, 10))):
        start = draw(st.integers(0, 12))
        tried = draw(st.integers(0, 2))
        rows.append(
            CallRow(
                call=call,
                parent=draw(ids) if call else None,
                fan_in=draw(ids),
                step=draw(st.sampled_from("abc")),
                pattern=draw(st.sampled_from([None, None, "fan_out"])),
                role=draw(st.sampled_from(["work", "merge"])),
                key=None,
                start=start,
                end=start + draw(st.integers(0, 12)),
                status=draw(st.sampled_from(STATUSES)),
                facts=draw(st.sampled_from(FACTS)),
                attempts=tried,
                load=0,
                edges=tuple(draw(st.sets(st.integers(0, 10), max_size=3))),
                waits=draw(
                    st.dictionaries(
                        st.sampled_from(["limit", "backoff", "moon"]), st.integers(0, 9)
                    )
                ),
            )
        )
        if tried == 2:
            end = draw(st.integers(start, rows[-1].end))
            attempts.append(AttemptRow(call, 1, False, start, end, draw(st.sampled_from(STATUSES))))
    rows.sort(key=lambda each: each.end)
    return RunRecord(Header("r", 0, 0), tuple(rows[draw(st.integers(0, 1)) :]), tuple(attempts))
