"""A digest as plain data for JSON."""

from fanwise.digest._values import Digest, Statement

Data = dict[str, object]


def to_data(digest: Digest) -> Data:
    """Give a digest as dicts, lists, strings and numbers; statements the best first."""
    part = digest.part
    return {
        "task": digest.task,
        "model": digest.model,
        "extractive": True,
        "complete": digest.complete,
        "enough": digest.enough,
        "statements": [_statement(statement) for statement in part.statements],
        "conflicts": [[_statement(pair.one), _statement(pair.other)] for pair in part.conflicts],
        "missing": [{"name": gap.name, "reason": gap.reason} for gap in part.missing],
        "documents": part.documents,
        "documents_found": digest.found,
        "documents_needed": digest.needed,
        "chunks": part.chunks,
        "chunks_answered": part.answered,
        "questions": part.asked,
        "lines_dropped": part.dropped,
        "tokens": {
            "in": part.usage.tokens_in,
            "out": part.usage.tokens_out,
            "estimated": part.usage.estimated,
        },
    }


def _statement(statement: Statement) -> Data:
    data: Data = {
        "text": statement.text,
        "source": statement.source,
        "start": statement.start,
        "end": statement.end,
        "heading": list(statement.heading),
    }
    if statement.origin is not None:
        data[statement.origin.unit] = statement.origin.at(statement.start)
    return data
