"""What the demo says: the job, the table, what made the difference, and what did not."""

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import Final

from fanwise.analysis import Summary
from fanwise.cli.demo import _careful, _gather, _steps
from fanwise.cli.demo._figures import Figures
from fanwise.cli.demo._services import SERVICES

_WIDTH: Final = 80
_LABEL: Final = 40
_COLUMN: Final = 13

VERSIONS: Final = {"gather": _gather, "careful": _careful, "fanwise": _steps}

Style = Callable[[str], str]


def introduction(questions: int, seed: int, head: Style) -> Iterator[str]:
    """Say what the job is and what goes wrong."""
    yield head("THE JOB")
    yield from _wrapped(
        f"Answer {questions} questions. For each, ask three sources at once; then let a model "
        "write an answer out of what they gave. The services are part of this program, so no "
        "key and no network is needed, but the time is real. They fail as real ones do, and "
        f"count what they are sent. Their faults are drawn from seed {seed}, and are the same "
        "for each version of the job:"
    )
    yield ""
    for service in SERVICES:
        for number, trouble in enumerate(service.troubles()):
            yield f"  {'' if number else service.name:<10} {trouble}"


def table(versions: Sequence[Figures], head: Style) -> Iterator[str]:
    """Lay the versions side by side."""
    yield head(f"{'MEASURED':<{_LABEL}}" + "".join(f"{each.name:>{_COLUMN}}" for each in versions))
    rows: list[tuple[str, Callable[[Figures], str]]] = [
        ("time for all of it", lambda it: _seconds(it.seconds)),
        ("questions answered", lambda it: f"{it.answered} of {it.questions}"),
        ("  of these from two sources of three", lambda it: str(it.answered - it.complete)),
        ("time of a question: median", lambda it: _seconds(it.median)),
        ("time of a question: p99", lambda it: _seconds(it.p99)),
        ("requests sent", lambda it: str(it.requests)),
        ("  refused (HTTP 429)", lambda it: str(it.refused)),
        ("  in vain: part of no answer", lambda it: str(it.in_vain)),
        ("  in vain though answered: results lost", lambda it: str(it.lost)),
        ("tasks still running when it returned", lambda it: str(it.orphans)),
        ("lines of code", lambda it: str(code_lines(VERSIONS[it.name]))),
    ]
    for label, value in rows:
        yield f"{label:<{_LABEL}}" + "".join(f"{value(each):>{_COLUMN}}" for each in versions)
    yield ""
    yield from _wrapped(_in_short(*versions))
    yield ""
    yield from _wrapped(
        '"never": too many questions have no answer, so that time has no end. gather: '
        "asyncio.gather, with a timeout for each question. careful: with a semaphore, a timeout "
        "for each request, and three tries. Both in full: fanwise demo --source."
    )


def code(head: Style) -> Iterator[str]:
    """Show the version with Fanwise."""
    yield head("THE JOB WITH FANWISE")
    source = inspect.getsource(_steps)
    yield from textwrap.indent(source[source.index("LIMITS") :].rstrip(), "  ").splitlines()


def difference(versions: Sequence[Figures], record: Summary, head: Style) -> Iterator[str]:
    """Say what made the difference, and where there is none."""
    gather, careful, ours = versions
    named = ours.answered - ours.complete
    yield head("WHAT MADE THE DIFFERENCE")
    yield from _points(
        f"need=2: a source that fails is a gap, not the end of its question. {named} answers do "
        f"without one and name those they have; careful threw {careful.lost} good replies away "
        f"with its {careful.questions - careful.answered} lost questions, gather {gather.lost}.",
        'limit="news": each service has its own width, held for the length of a request and '
        "never during a wait. "
        f"429s met: {ours.refused}. careful holds a whole question behind its one semaphore.",
        f"retry and hedge: requests that failed and were sent again: {record.retries}; "
        f"duplicates of slow ones, of which the first to answer counts: {record.hedges}. "
        "For reads; a write is never sent twice in silence.",
        f"nothing outlives its parent: {ours.orphans} tasks were left. A gather that fails leaves "
        f"the rest of itself running: {gather.orphans} here, with nobody to stop them.",
    )
    yield ""
    yield head("WHERE IT DOES NOT WIN")
    yield from _points(*_losses(careful, ours))


def onward(head: Style) -> Iterator[str]:
    """Say what to run and read next."""
    yield head("NEXT")
    yield "  fanwise demo --source                    the three versions, to compare"
    yield "  fanwise demo --seed 2                    other faults"
    yield '  fanwise digest docs/ --task "..."        a real job over your documents'
    yield "  docs/from-asyncio.md                     your own gather, step by step"


def sources() -> str:
    """Give the three versions in full."""
    return "\n\n".join(inspect.getsource(each).rstrip() for each in VERSIONS.values())


def _in_short(gather: Figures, careful: Figures, ours: Figures) -> str:
    return (
        f"In short: of {ours.questions} questions gather answered {gather.answered}, careful "
        f"{careful.answered} in {_seconds(careful.seconds)}, and Fanwise {ours.answered} in "
        f"{_seconds(ours.seconds)}, {ours.answered - ours.complete} of them from two sources "
        "instead of three."
    )


def _losses(careful: Figures, ours: Figures) -> Iterator[str]:
    yield (
        f"The usual question: median {_seconds(ours.median)}, careful {_seconds(careful.median)}. "
        "Where nothing goes wrong there is nothing to gain but order."
    )
    yield (
        f"Requests: {ours.requests}, careful {careful.requests}. Retries and hedges are paid for, "
        "and nothing makes a source answer that hangs: it only stops being waited for."
    )
    yield (
        "A third asyncio version with a semaphore for each service, gaps and hedges would do as "
        "well. That is the library."
    )


def _seconds(value: float) -> str:
    return "never" if value == float("inf") else f"{value:.2f} s"


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH - 1)


def _points(*texts: str) -> Iterator[str]:
    for text in texts:
        yield from textwrap.wrap(text, _WIDTH - 1, initial_indent="- ", subsequent_indent="  ")


def code_lines(version: ModuleType) -> int:
    """Count the lines of a module that are neither blank, nor docstrings, nor imports."""
    source = inspect.getsource(version)
    skipped: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import() | ast.ImportFrom() | ast.Expr(value=ast.Constant()):
                skipped.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
            case _:
                pass
    lines = enumerate(source.splitlines(), start=1)
    return sum(number not in skipped and bool(line.strip()) for number, line in lines)
