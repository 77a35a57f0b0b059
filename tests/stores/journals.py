"""What tests share that look into a journal."""

from fanwise.core._entries import Kind
from fanwise.stores._plain_data import decode_plain

RESULTS = (Kind.RESULT, Kind.WRITTEN)


def results_of(journal, run="r"):
    """The plain results that a journal has of a run; none of a run that it does not know."""
    known = any(each.id == run for each in journal.runs())
    entries = journal.entries(run) if known else []
    return [decode_plain(each.data) for each in entries if each.kind in RESULTS]
