"""Runs the programs of seeds, and says how to repeat one that failed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.fuzz.programs import draw
from tests.fuzz.shrinking import shrink
from tests.fuzz.world import execute

if TYPE_CHECKING:
    from tests.fuzz.programs import Program

SIZES = (4, 8, 16, 30)


@dataclass(frozen=True)
class Failure:
    """A program that broke a promise."""

    seed: int
    size: int
    order: str
    problems: tuple[str, ...]

    @property
    def kind(self) -> str:
        """The first problem without its numbers: failures with one cause mostly share it."""
        return kind_of(self.problems[0])


def kind_of(problem: str) -> str:
    text = problem.split("\n", 1)[0]
    return re.sub(r"\(/.*?:#\)|0x[0-9a-f]+|\d[\d.]*", "#", text)[:120]


def run_seed(seed: int, size: int | None = None, ignore: str | None = None) -> list[Failure]:
    """Run the program of a seed in both orders of timers; give those that failed.

    `ignore` is a pattern for problems that are known already.
    """
    size = SIZES[seed % len(SIZES)] if size is None else size
    failures = []
    for order in ("fifo", "shuffled"):
        problems = execute(draw(seed, size), seed, order)
        if ignore is not None:
            problems = [it for it in problems if not re.search(ignore, it)]
        if problems:
            failures.append(Failure(seed, size, order, tuple(problems)))
    return failures


def repeat(failure: Failure) -> str:
    """Give the command that runs it again."""
    return f"python -m tests.fuzz --seed {failure.seed} --size {failure.size} --runs 1 --shrink"


def shrunk(failure: Failure, tries: int = 2000) -> tuple[Program, list[str]]:
    """Give a smaller program with the same kind of problem, and its problems."""

    def problems_of(program: Program) -> list[str]:
        return execute(program, failure.seed, failure.order)

    def fails(program: Program) -> bool:
        kinds = [kind_of(it) for it in problems_of(program)]
        return failure.kind in kinds

    program = shrink(draw(failure.seed, failure.size), fails, tries)
    return program, problems_of(program)
