"""The patterns, one file each; every one of them returns a cold `Call`."""

from fanwise.patterns._bind import bind
from fanwise.patterns._fan_map import MapCall, MapStream, fan_map
from fanwise.patterns._fan_out import fan_out
from fanwise.patterns._first import first
from fanwise.patterns._pipeline import Batch, Stage, batch, pipeline, stage
from fanwise.patterns._tree_reduce import Reduced, tree_reduce

__all__ = [
    "Batch", "MapCall", "MapStream", "Reduced", "Stage", "batch", "bind", "fan_map", "fan_out",
    "first", "pipeline", "stage", "tree_reduce",
]  # fmt: skip
