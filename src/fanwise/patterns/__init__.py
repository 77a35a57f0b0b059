"""The patterns, one file each; every one of them returns a cold `Call`."""

from fanwise.patterns._bind import bind
from fanwise.patterns._fan_map import MapCall, MapStream, fan_map
from fanwise.patterns._fan_out import fan_out
from fanwise.patterns._first import check_stagger, first
from fanwise.patterns._pipeline import Batch, Stage, batch, pipeline, stage
from fanwise.patterns._quorum import check_quorum, count_of
from fanwise.patterns._speculate import speculate
from fanwise.patterns._tree_reduce import Reduced, tree_reduce
from fanwise.patterns._vote import Vote, vote

__all__ = [
    "Batch", "MapCall", "MapStream", "Reduced", "Stage", "Vote", "batch", "bind", "check_quorum",
    "check_stagger", "count_of", "fan_map", "fan_out", "first", "pipeline", "speculate", "stage",
    "tree_reduce", "vote",
]  # fmt: skip
