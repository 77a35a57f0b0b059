"""The job: read, cut, quote, merge, each a step; a digest is one call.

Problem: answer a task over more text than one prompt holds, every statement traceable to
its characters. Algorithm: map-reduce (Dean & Ghemawat 2004) with a tree of merges, by
document first and then across documents; a merge starts when its own members are there.
Statements are quotes, and are found again in their passage after every answer; so the
lineage to file and offsets goes through all levels. Cost: one question a chunk, and about
a ninth of that for merges at arity 10. Rejected: a running refine (each answer fed into
the next), which is the same job in a row; summaries of summaries, which lose their sources.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

from fanwise import Call, Limit, NotEnough, deadline, fan_out, step, tree_reduce
from fanwise.digest._apart import decode_apart
from fanwise.digest._bounds import Bounds
from fanwise.digest._locate import locate
from fanwise.digest._values import Conflict, Digest, Missing, Part, Statement, in_turn, joined
from fanwise.documents import Document, Found, Gap, Library, Origin, Raw, decode, runs_apart
from fanwise.errors import BudgetSpent, CallSkipped, DeadlinePassed
from fanwise.models import CONTRASTING, QUOTING, Model, Passage, Prompt, read_quotes
from fanwise.text import Block, Outline, blocks, chunks

_FEWEST_A_CHUNK: Final = 5
_DOCUMENTS: Final = "digest/documents"
_MODEL: Final = "digest/model"
_UNMERGED: Final = "not done, statements taken in turn"
_STOPPED: Final = "not read, the run was told to stop"
_TIME_UP: Final = "not read, the time was up"
_SPENT: Final = "not read, the budget was spent"
_UNFUNDED: Final = "not done, the budget was spent, statements taken in turn"


def limits(at_once: int = 8) -> dict[str, Limit]:
    """Give the limits of a digest for a `Runtime`: questions at once, open documents.

    Raises ValueError for `at_once` below 1.
    """
    return {_MODEL: Limit(at_once=at_once), _DOCUMENTS: Limit(at_once=2 * at_once)}


@dataclass(frozen=True, slots=True)
class Cut:
    """A document cut into passages, with the headings over each place."""

    passages: list[Passage]
    blocks: list[Block]
    title: str
    origin: Origin | None

    @property
    def outline(self) -> Outline:
        """The headings over each place."""
        return Outline(self.blocks)


def _job_and(job: "Job", what: object) -> tuple[object, ...]:
    """Give what counts for a call's identity: what the digest is made with, and the argument."""
    return job.task, job.model.name, job.merger.name, job.bounds, what


def _job_and_text(job: "Job", document: Document) -> tuple[object, ...]:
    return _job_and(job, (document.name, document.text))


def _job_and_passage(job: "Job", passage: Passage, cut: Cut, most: int) -> tuple[object, ...]:  # noqa: ARG001 - the step's
    return _job_and(job, (passage, most))


@dataclass(frozen=True, slots=True)
class Job:
    """What a digest is made with. Its steps are the methods.

    `model` quotes from the chunks, `merger` chooses among what was quoted. `until` is the instant
    on the loop's clock at which its time is up.
    """

    task: str
    model: Model
    merger: Model
    bounds: Bounds
    library: Library
    watch: Callable[[Part], None] | None = None
    until: float | None = None

    @step(name="digest", key=_job_and)
    async def digest(self, places: tuple[str, ...]) -> Digest:
        """Find the documents, reduce each, reduce them all."""
        within = self.bounds.within
        until = None if within is None else asyncio.get_running_loop().time() + within
        return await replace(self, until=until).digested(places)

    @step(name="find", key=_job_and)
    def find(self, places: tuple[str, ...]) -> Found:
        """Find the documents."""
        return self.library.find(places)

    @step(name="document", limit=_DOCUMENTS, key=_job_and)
    async def document(self, name: str) -> Part:
        """Read one document and bring it to its best statements; a gap is part of the result."""
        with self._in_time():
            document = await self._document(name)
            cut = None if isinstance(document, Gap) else await self.cut(document)
        gaps = (document,) if isinstance(document, Gap) else document.gaps
        opened = Part(
            documents=cut is not None,
            chunks=len(cut.passages) if cut is not None else 0,
            missing=tuple(map(_missing, gaps)),
        )
        self._tell(opened)
        if cut is None:
            return opened
        part = await self._quoted(cut)
        counted = replace(opened, digested=int(part.answered > 0 or not cut.passages))
        return joined([part, counted], part.statements)

    @step(name="read", key=_job_and)
    def read(self, name: str) -> Document | Gap | Raw:
        """Read one document, or only load it where another process must decode it."""
        loaded = self.library.load(name)
        return loaded if isinstance(loaded, Raw) and runs_apart(loaded) else decode(loaded)

    @step(name="cut", key=_job_and_text)
    def cut(self, document: Document) -> Cut:
        """Cut a document into passages under their headings."""
        text, markup, title = document.text, document.markup, document.title
        passages = [
            Passage(
                text[chunk.start : chunk.end],
                document.name,
                _titled(title, chunk.heading),
                chunk.start,
                markup,
            )
            for chunk in chunks(text, self.bounds.size_tokens, markup)
        ]
        headings = [block for block in blocks(text, markup) if block.kind == "heading"]
        return Cut(passages, headings, title, document.origin)

    @step(name="quote", limit=_MODEL, key=_job_and_passage)
    async def quote(self, passage: Passage, cut: Cut, most: int) -> Part:
        """Ask for the best statements of one chunk."""
        with self._in_time():
            prompt = Prompt(self.task, (passage,), QUOTING, most)
            found, asked, _ = await _ask(self.model, prompt, [passage.text])
        outline = cut.outline
        statements = tuple(_statement(passage, cut, outline, start, end) for _, start, end in found)
        part = joined([asked, Part(answered=1)], statements)
        self._tell(part)
        return part

    @step(name="merge", limit=_MODEL, role="merge", key=_job_and)
    async def merge(self, parts: list[Part]) -> Part:
        """Ask for the best of the statements of several parts."""
        most = self.bounds.most
        before = [statement for part in parts for statement in part.statements]
        if not before:
            return joined(parts, ())
        passages = tuple(
            Passage(" ".join(s.text.split()), s.source, s.heading, s.start) for s in before
        )
        try:
            with self._in_time():
                prompt = Prompt(self.task, passages, f"{QUOTING} {CONTRASTING}", most)
                found, asked, against = await _ask(self.merger, prompt, [s.text for s in before])
        except DeadlinePassed:
            return self._unmerged(parts, len(before), _UNMERGED)
        except BudgetSpent:
            return self._unmerged(parts, len(before), _UNFUNDED)
        chosen = tuple(before[n].narrowed(start, end) for n, start, end in found)
        self._tell(asked)
        disagree = Part(conflicts=tuple(_conflict(before[n], before[m]) for n, m in against))
        return joined([*parts, asked, disagree], chosen or in_turn(parts, most, self.task))

    async def digested(self, places: tuple[str, ...]) -> Digest:
        """Do the work of `digest`, once it is known until when."""
        try:
            found = await self.find(places)
        except CallSkipped:
            gaps = tuple(Missing(place, _STOPPED) for place in places)
            return self._answer(Part(missing=gaps), len(places))
        gaps = tuple(map(_missing, found.gaps))
        calls = [self.document(name) for name in found.names]
        whole = await self._reduced(calls, list(found.names))
        part = joined([whole, Part(missing=gaps)], whole.statements)
        return self._answer(part, len(found.names) + len(gaps))

    def _answer(self, part: Part, found: int) -> Digest:
        names = dict.fromkeys((self.model.name, self.merger.name))
        return Digest(self.task, " and ".join(names), part, found, self.bounds.need)

    async def _document(self, name: str) -> Document | Gap:
        loaded = await self.read(name)
        return await decode_apart(loaded) if isinstance(loaded, Raw) else loaded

    @contextmanager
    def _in_time(self) -> Iterator[None]:
        """Bound a block by the time of the whole; raise DeadlinePassed when that is up."""
        if self.until is None:
            yield
            return
        left = self.until - asyncio.get_running_loop().time()
        if left <= 0:
            raise DeadlinePassed(_TIME_UP)
        with deadline(left):
            yield

    def _unmerged(self, parts: list[Part], statements: int, why: str) -> Part:
        """Take statements in turn, and say so where some are left out."""
        gaps = (Missing("merge", why),) if statements > self.bounds.most else ()
        chosen = in_turn(parts, self.bounds.most, self.task)
        return joined([*parts, Part(missing=gaps)], chosen)

    async def _quoted(self, cut: Cut) -> Part:
        """Ask about every chunk of a document at once and merge the answers."""
        most = self.bounds.most
        fewer = min(most, max(_FEWEST_A_CHUNK, 2 * most // max(1, len(cut.passages))))
        calls = [self.quote(passage, cut, fewer) for passage in cut.passages]
        names = [_place(passage) for passage in cut.passages]
        if len(calls) != 1:
            return await self._reduced(calls, names)
        found = await fan_out(*calls, need=0)
        if found.complete:
            return calls[0].result
        return Part(missing=(Missing(names[0], _cause(calls[0])),))

    async def _reduced(self, calls: list[Call[Part]], names: list[str]) -> Part:
        """Merge calls as a tree; what is missing from it is named, what is there is kept.

        The number of answers below the root is checked: where a merge failed or was never
        started, the statements of the calls that did end are taken in turn instead.
        """
        if not calls:
            return Part()
        root = await self._root(calls)
        done = [call.result for call in calls if call.status == "ok"]
        gaps = tuple(
            Missing(name, _cause(call))
            for call, name in zip(calls, names, strict=True)
            if call.status != "ok"
        )
        if root is not None and root.answered == sum(part.answered for part in done):
            return joined([root, Part(missing=gaps)], root.statements)
        unmerged = (Missing(f"merge below {names[0]}", _UNMERGED),)
        return joined(
            [*done, Part(missing=gaps or unmerged)], in_turn(done, self.bounds.most, self.task)
        )

    async def _root(self, calls: list[Call[Part]]) -> Part | None:
        """Give the root of the tree, or None where it failed or was not started."""
        try:
            return (await tree_reduce(self.merge, calls, arity=self.bounds.arity)).value
        except (NotEnough, CallSkipped):
            return None

    def _tell(self, part: Part) -> None:
        if self.watch is not None:
            self.watch(part)


async def _ask(
    model: Model, prompt: Prompt, originals: list[str]
) -> tuple[list[tuple[int, int, int]], Part, list[tuple[int, int]]]:
    """Ask a model over passages, whose texts stand in their documents as `originals`.

    Give number (from 0), start and end in its original of each statement; what was asked; and the
    pairs of passages (from 0) that deny each other.
    """
    answer = await model.ask(prompt)
    read = read_quotes(answer.text)
    places: dict[tuple[int, int, int], None] = {}
    for quote in read.quotes:
        if 1 <= quote.passage <= len(originals):
            place = locate(quote.text, originals[quote.passage - 1])
            if place is not None:
                places.setdefault((quote.passage - 1, *place))
    dropped = read.remarks + len(read.quotes) - len(places)
    against = [
        (one - 1, other - 1)
        for one, other in read.conflicts
        if one != other and min(one, other) >= 1 and max(one, other) <= len(originals)
    ]
    asked = Part(asked=1, dropped=dropped, usage=answer.usage)
    return list(places)[: prompt.most], asked, against


def _conflict(one: Statement, other: Statement) -> Conflict:
    first, second = sorted((one, other), key=lambda statement: (statement.source, statement.start))
    return Conflict(first, second)


def _titled(title: str, heading: tuple[str, ...]) -> tuple[str, ...]:
    """Put the document's title before the headings, once."""
    return heading if not title or heading[:1] == (title,) else (title, *heading)


def _statement(passage: Passage, cut: Cut, outline: Outline, start: int, end: int) -> Statement:
    offset = passage.offset or 0
    first, last = offset + start, offset + end
    origin = None if cut.origin is None else cut.origin.within(first, last)
    heading = _titled(cut.title, outline.at(first))
    return Statement(passage.text[start:end], passage.source, first, last, heading, origin)


def _place(passage: Passage) -> str:
    start = passage.offset or 0
    return f"{passage.source}:{start}-{start + len(passage.text)}"


def _missing(gap: Gap) -> Missing:
    return Missing(gap.name, f"{gap.reason}" + (f" ({gap.detail})" if gap.detail else ""))


def _cause(call: Call[Part]) -> str:
    """Say in words why a call has no value."""
    error = call.error
    if isinstance(error, BudgetSpent):
        return _SPENT
    if error is None or isinstance(error, CallSkipped):
        return _STOPPED
    if isinstance(error, DeadlinePassed):
        return _TIME_UP
    return f"{type(error).__name__}: {error}"
