"""The job: read, cut, quote, merge, each a step; a digest is one call.

Problem: answer a task over more text than one prompt holds, every statement traceable to
its characters. Algorithm: map-reduce (Dean & Ghemawat 2004) with a tree of merges, by
document first and then across documents; a merge starts when its own members are there.
Statements are quotes, and are found again in their passage after every answer; so the
lineage to file and offsets goes through all levels. Cost: one question a chunk, and about
a ninth of that for merges at arity 10. Rejected: a running refine (each answer fed into
the next), which is the same job in a row; summaries of summaries, which lose their sources.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from fanwise import Call, Limit, NotEnough, current, step, tree_reduce
from fanwise.digest._locate import locate
from fanwise.digest._values import Digest, Missing, Part, Statement, in_turn, joined
from fanwise.documents import Document, Found, Gap, Library
from fanwise.errors import CallSkipped
from fanwise.models import QUOTING, Model, Passage, Prompt, read_quotes
from fanwise.text import Outline, blocks, chunks

ARITY: Final = 10
_FEWEST_A_CHUNK: Final = 5
_DOCUMENTS: Final = "digest/documents"
_MODEL: Final = "digest/model"
_UNMERGED: Final = "not done, statements taken in turn"
_STOPPED: Final = "not read, the run was told to stop"


def limits(at_once: int = 8) -> dict[str, Limit]:
    """Give the limits of a digest for a `Runtime`: questions at once, open documents.

    Raises ValueError for `at_once` below 1.
    """
    return {_MODEL: Limit(at_once=at_once), _DOCUMENTS: Limit(at_once=2 * at_once)}


@dataclass(frozen=True, slots=True)
class Cut:
    """A document cut into passages, with the headings over each place."""

    passages: list[Passage]
    outline: Outline
    title: str


@dataclass(frozen=True, slots=True)
class Job:
    """What a digest is made with. Its steps are the methods."""

    task: str
    model: Model
    most: int
    size_tokens: int
    library: Library
    watch: Callable[[Part], None] | None = None

    @step(name="digest")
    async def digest(self, places: tuple[str, ...]) -> Digest:
        """Find the documents, reduce each, reduce them all."""
        try:
            found = await self.find(places)
        except CallSkipped:
            return self._answer(Part(missing=tuple(Missing(place, _STOPPED) for place in places)))
        gaps = tuple(_missing(gap) for gap in found.gaps)
        calls = [self.document(name) for name in found.names]
        whole = await self._reduced(calls, list(found.names))
        return self._answer(joined([whole, Part(missing=gaps)], whole.statements))

    @step(name="find")
    def find(self, places: tuple[str, ...]) -> Found:
        """Find the documents."""
        return self.library.find(places)

    @step(name="document", limit=_DOCUMENTS)
    async def document(self, name: str) -> Part:
        """Read one document and bring it to its best statements; a gap is part of the result."""
        document = await self.read(name)
        if isinstance(document, Gap):
            self._tell(Part(missing=(_missing(document),)))
            return Part(missing=(_missing(document),))
        cut = await self.cut(document)
        opened = Part(documents=1, chunks=len(cut.passages))
        self._tell(opened)
        part = await self._quoted(cut)
        return joined([part, opened], part.statements)

    @step(name="read")
    def read(self, name: str) -> Document | Gap:
        """Read one document."""
        return self.library.read(name)

    @step(name="cut")
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
            for chunk in chunks(text, self.size_tokens, markup)
        ]
        return Cut(passages, Outline(blocks(text, markup)), title)

    @step(name="quote", limit=_MODEL)
    async def quote(self, passage: Passage, cut: Cut, most: int) -> Part:
        """Ask for the best statements of one chunk."""
        found, asked = await self._ask((passage,), [passage.text], most)
        statements = tuple(_statement(passage, cut, start, end) for _, start, end in found)
        part = joined([asked, Part(answered=1)], statements)
        self._tell(part)
        return part

    @step(name="merge", limit=_MODEL, role="merge")
    async def merge(self, parts: list[Part]) -> Part:
        """Ask for the best of the statements of several parts."""
        before = [statement for part in parts for statement in part.statements]
        if not before:
            return joined(parts, ())
        passages = tuple(
            Passage(" ".join(s.text.split()), s.source, s.heading, s.start) for s in before
        )
        found, asked = await self._ask(passages, [s.text for s in before], self.most)
        chosen = tuple(before[n].narrowed(start, end) for n, start, end in found)
        self._tell(asked)
        return joined([*parts, asked], chosen or in_turn(parts, self.most, self.task))

    def _answer(self, part: Part) -> Digest:
        return Digest(self.task, self.model.name, part)

    async def _quoted(self, cut: Cut) -> Part:
        """Ask about every chunk of a document at once and merge the answers."""
        most = min(self.most, max(_FEWEST_A_CHUNK, 2 * self.most // len(cut.passages)))
        calls = [self.quote(passage, cut, most) for passage in cut.passages]
        if len(calls) == 1:
            return await calls[0]
        return await self._reduced(calls, [_place(passage) for passage in cut.passages])

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
        return joined([*done, Part(missing=gaps or unmerged)], in_turn(done, self.most, self.task))

    async def _root(self, calls: list[Call[Part]]) -> Part | None:
        """Give the root of the tree, or None where it failed or was not started."""
        try:
            return (await tree_reduce(self.merge, calls, arity=ARITY)).value
        except (NotEnough, CallSkipped):
            return None

    async def _ask(
        self, passages: tuple[Passage, ...], originals: list[str], most: int
    ) -> tuple[list[tuple[int, int, int]], Part]:
        """Ask the model; give number (from 0), start and end in its original of each statement.

        `originals` are the texts of the passages as they stand in their documents.
        """
        answer = await self.model.ask(Prompt(self.task, passages, QUOTING, most))
        used = answer.usage
        current().usage(
            model=answer.model,
            estimated=used.estimated,
            tokens_in=used.tokens_in,
            tokens_out=used.tokens_out,
        )
        read = read_quotes(answer.text)
        places: dict[tuple[int, int, int], None] = {}
        for quote in read.quotes:
            if 1 <= quote.passage <= len(passages):
                place = locate(quote.text, originals[quote.passage - 1])
                if place is not None:
                    places.setdefault((quote.passage - 1, *place))
        dropped = read.remarks + len(read.quotes) - len(places)
        return list(places)[:most], Part(asked=1, dropped=dropped, usage=answer.usage)

    def _tell(self, part: Part) -> None:
        if self.watch is not None:
            self.watch(part)


def _titled(title: str, heading: tuple[str, ...]) -> tuple[str, ...]:
    """Put the document's title before the headings, once."""
    return heading if not title or heading[:1] == (title,) else (title, *heading)


def _statement(passage: Passage, cut: Cut, start: int, end: int) -> Statement:
    offset = passage.offset or 0
    return Statement(
        passage.text[start:end],
        passage.source,
        offset + start,
        offset + end,
        _titled(cut.title, cut.outline.at(offset + start)),
    )


def _place(passage: Passage) -> str:
    start = passage.offset or 0
    return f"{passage.source}:{start}-{start + len(passage.text)}"


def _missing(gap: Gap) -> Missing:
    return Missing(gap.name, f"{gap.reason}" + (f" ({gap.detail})" if gap.detail else ""))


def _cause(call: Call[Part]) -> str:
    """Say in words why a call has no value."""
    error = call.error
    if error is None or isinstance(error, CallSkipped):
        return _STOPPED
    return f"{type(error).__name__}: {error}"
