"""Digests of documents: hierarchical map-reduce with the place of every statement."""

from fanwise.digest._bounds import Bounds
from fanwise.digest._digest import digest
from fanwise.digest._job import limits
from fanwise.digest._json import to_data
from fanwise.digest._markdown import to_markdown
from fanwise.digest._values import Conflict, Digest, Missing, Part, Statement

__all__ = [
    "Bounds",
    "Conflict",
    "Digest",
    "Missing",
    "Part",
    "Statement",
    "digest",
    "limits",
    "to_data",
    "to_markdown",
]
