"""Makes a failing program smaller: leaves out one thing after the other while it still fails."""

from __future__ import annotations

import copy
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from tests.fuzz.programs import Act, FanMap, First, Guess, Leaf, Node, Poll, Sub, Tree, nodes_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.fuzz.programs import Program

PLAINER = (("swallow", None), ("end", "ok"), ("delay", 0.0), ("deadline", None), ("stop", None),
           ("stagger", None), ("accept", False), ("plain", False), ("task", False), ("keys", None),
           ("gap", 0.0), ("journal", False), ("source", "list"), ("wave", None),
           ("stop_at", None), ("wanted", None))  # fmt: skip


def shrink(program: Program, fails: Callable[[Program], bool], tries: int = 2000) -> Program:
    """Give a smaller program that fails too."""
    moved = True
    while moved and tries > 0:
        moved = False
        for number, _ in enumerate(edits(program)):
            tries -= 1
            smaller = copy.deepcopy(program)
            edit = next(it for at, it in enumerate(edits(smaller)) if at == number)
            edit()
            if tries > 0 and fails(smaller):
                program, moved = smaller, True
                break
    return program


def edits(program: Program) -> Iterator[Callable[[], Any]]:
    """Give every way to leave something out, coarse ones first; each changes `program`."""
    for it in nodes_of(program):
        for each in fields(it):
            value = getattr(it, each.name)
            if isinstance(value, list):
                yield from leave_out(it, each.name, value)
            elif isinstance(value, dict):
                for key in value:
                    if key != "at_once" and not (key == "effect" and "keyed" in value):
                        yield lambda value=value, key=key: value.pop(key)
    for it in nodes_of(program):
        for name, plain in PLAINER:
            if getattr(it, name, plain) != plain:
                yield lambda it=it, name=name, plain=plain: setattr(it, name, plain)


def leave_out(owner: Any, name: str, values: list[Any]) -> Iterator[Callable[[], Any]]:
    least = 1 if isinstance(owner, (First, Guess, Poll, Tree)) or name == "acts" else 0
    for at, value in enumerate(values):
        if len(values) > least:
            yield lambda at=at: without(owner, values, at)
        node = value[-1] if isinstance(value, tuple) else value
        if isinstance(node, Node) and not isinstance(owner, (FanMap, Guess, Tree)):
            for inner in inside(node):
                new = (*value[:-1], inner) if isinstance(value, tuple) else inner
                yield lambda at=at, new=new: values.__setitem__(at, new)


def without(owner: Any, values: list[Any], at: int) -> None:
    del values[at]
    if isinstance(owner, First) and owner.stagger is not None:
        owner.stagger = owner.stagger[:at] + owner.stagger[at + 1 :]
    schedule = getattr(owner, "schedule", {})
    for name in ("need", "enough"):
        if isinstance(schedule.get(name), int):
            schedule[name] = min(schedule[name], len(values))


def inside(node: Node) -> list[Node]:
    """Give the nodes that may stand in the place of `node`."""
    if isinstance(node, Sub):
        return [it[-1] for it in node.body]
    if isinstance(node, Leaf):
        return node.inputs
    return [] if isinstance(node, FanMap) else getattr(node, "branches", getattr(node, "items", []))


__all__ = ["Act", "shrink"]
