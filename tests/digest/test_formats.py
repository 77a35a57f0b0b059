"""HTML and PDF through the whole job: each statement stands where it says, in what is read again."""

import asyncio
from dataclasses import replace

import pytest

import fanwise.pools  # noqa: F401 - its first import, on the loop, reads the folder it is in
from fanwise import Runtime
from fanwise.digest import Bounds, digest, limits, to_data, to_markdown
from fanwise.documents import Files, Given, Memory, Origin, Raw
from tests.documents.pdfs import STORY, locked, pdf, without_pages

HTML = """<!DOCTYPE html><title>Soil</title><nav>Never quoted, as it is navigation only.</nav>
<h1>Of soil</h1>
<p>A heavy soil of clay keeps the water
of the spring well into the <i>summer</i> &amp; autumn.</p>
<h2>Sand</h2>
<p>A light soil of sand lets the rain run through it in no time.</p>
"""
FILES = {
    "soil.html": HTML.encode(),
    "harbour.pdf": pdf([["# The harbour", STORY[0]], ["# Its trade", STORY[1]]], width=90),
    "a.md": b"# Frost\n\nThe first frost of the year does no harm to cabbage.\n",
    "b.rst": b"Rain\n====\n\nThe rain of the autumn fills the ponds of the garden.\n",
}
BROKEN = {
    "locked.pdf": locked(FILES["harbour.pdf"]),
    "scanned.pdf": pdf([[None]]),
    "none.pdf": without_pages(),
    "cut.pdf": FILES["harbour.pdf"][:500],
    "lie.pdf": b"This is no PDF.",
    "empty.html": b"<html><body></body></html>",
}


@pytest.fixture(params=["disk", "memory", "given"])
def library(request, tmp_path, monkeypatch):
    files = FILES | BROKEN
    if request.param == "memory":
        return Memory(files)
    monkeypatch.chdir(tmp_path)
    for name, data in files.items():
        if request.param == "disk" or name != "harbour.pdf":
            (tmp_path / name).write_bytes(data)
    return (
        Files() if request.param == "disk" else Given(Files(), "harbour.pdf", files["harbour.pdf"])
    )


def made(library, places, **more):
    async def whole():
        async with Runtime(limits=limits(2)) as runtime:
            return await runtime.run(digest(places, "Summarise", library=library, **more))

    return asyncio.run(whole())


def stands(library, statement):
    """Tell whether the text at a statement's place is the statement's, when it is read again."""
    again = library.read(statement.source)
    there = again.text[statement.start : statement.end] == statement.text
    if again.origin is None:
        return there and statement.origin is None
    named = again.origin.named(statement.start, statement.end)
    return there and statement.place.endswith(f" ({named})")


def test_each_statement_stands_at_its_place(library):
    found = made(library, [".", "harbour.pdf"], bounds=Bounds(size_tokens=40))
    assert {s.source for s in found.part.statements} == set(FILES)
    assert all(stands(library, statement) for statement in found.part.statements)
    texts = {s.text: s for s in found.part.statements}
    soil = texts[
        "A heavy soil of clay keeps the water of the spring well into the summer & autumn."
    ]
    assert soil.place == f"soil.html:{soil.start}-{soil.end} (lines 3-4)"
    assert soil.heading == ("Soil", "Of soil")
    ships = texts["The harbour was built in 1704 by order of the council."]
    assert ships.place.endswith(" (page 1)")
    trade = next(s for text, s in texts.items() if text.startswith("The merchants sold it"))
    assert trade.place.endswith(" (page 2)")
    assert trade.heading == ("The harbour", "Its trade")
    assert texts["The first frost of the year does no harm to cabbage."].origin is None
    page = to_markdown(found)
    assert f"  `{trade.place}`" in page
    data = {each["text"]: each for each in to_data(found)["statements"]}
    assert data[soil.text]["line"] == 3
    assert data[trade.text]["page"] == 2
    assert not {"page", "line"} & set(data["The first frost of the year does no harm to cabbage."])


def test_a_place_beside_the_statement_is_seen():
    library = Memory(FILES)
    for statement in made(library, ["."]).part.statements:
        assert stands(library, statement)
        assert not stands(library, replace(statement, start=statement.start + 1))
        assert not stands(library, replace(statement, end=statement.end - 1))
        other = Origin("page", (0,), (99,)) if statement.origin is None else None
        assert not stands(library, replace(statement, origin=other))


def test_each_flaw_is_named(library):
    found = made(library, ["."])
    assert {gap.name: gap.reason.split(" (")[0] for gap in found.part.missing} == {
        "locked.pdf": "password-protected",
        "scanned.pdf": "scanned",
        "none.pdf": "no pages",
        "cut.pdf": "truncated",
        "lie.pdf": "not a PDF",
        "empty.html": "no text",
    }


def test_a_part_that_is_scanned_is_named_and_the_rest_is_read():
    mixed = pdf([[STORY[0]], [None], [STORY[1]]])
    found = made(Memory({"mixed.pdf": mixed}), ["mixed.pdf"])
    assert found.part.documents == found.part.digested == 1
    assert found.part.statements
    (gap,) = found.part.missing
    assert str(gap) == "mixed.pdf: scanned (no text layer on page 2 of 3)"


def test_a_statement_cut_out_of_another_knows_its_own_line():
    text = "<p>The soil is heavy. It keeps\nthe water well.\nAnd it is warm."
    (statement,) = made(
        Memory({"x.html": text.encode()}), ["x.html"], bounds=Bounds(most=1)
    ).part.statements
    whole = Memory({"x.html": text.encode()}).read("x.html")
    start = whole.text.index("water") - statement.start
    part = statement.narrowed(max(0, start), len(statement.text))
    assert part.origin is not None
    assert part.origin.at(whole.text.index("water")) == 2


class Trap(Raw):
    """Bytes of a PDF whose arrival in a worker does what a broken file may make a reader do."""

    __slots__ = ("deed",)

    def __init__(self, deed):
        super().__init__("trap.pdf", FILES["harbour.pdf"], "pdf")
        object.__setattr__(self, "deed", deed)

    def __reduce__(self):
        safe = "__import__('fanwise.documents').documents.Raw('trap.pdf', data, 'pdf')"
        return eval, (f"{self.deed} or {safe}", {"data": self.data})


class WithTrap(Memory):
    """Files, one of them a trap."""

    def __init__(self, deed):
        super().__init__(FILES | {"trap.pdf": b"%PDF-"})
        self.trap = Trap(deed)

    def load(self, name):
        return self.trap if name == "trap.pdf" else super().load(name)


def once(path, deed):
    """An expression that does the deed unless the file is there, which it makes."""
    return f"(__import__('os').path.exists({path!r}) or (open({path!r}, 'w').close(), {deed})) and None"


CRASH = "__import__('os')._exit(7)"
HANG = "__import__('threading').Event().wait()"


def test_where_a_reader_takes_its_process_down_the_other_one_reads(tmp_path):
    library = WithTrap(once(str(tmp_path / "crashed"), CRASH))
    found = made(library, ["."], bounds=Bounds(most=20))
    assert (tmp_path / "crashed").exists()
    assert found.complete
    assert "trap.pdf" in {statement.source for statement in found.part.statements}


def test_a_file_that_takes_every_process_down_fails_alone():
    found = made(WithTrap(CRASH), ["."], bounds=Bounds(most=20))
    assert [gap.name for gap in found.part.missing] == ["trap.pdf"]
    assert found.part.missing[0].reason.startswith("unreadable (its readers broke down: ")
    assert {statement.source for statement in found.part.statements} == set(FILES)


def test_a_reader_that_hangs_is_killed(tmp_path):
    library = WithTrap(once(str(tmp_path / "hung"), HANG))

    async def whole():
        plan = {"decode": {"timeout": 3.0}}
        async with Runtime(limits=limits(2), plan=plan) as runtime:
            return await runtime.run(
                digest(["."], "Summarise", library=library, bounds=Bounds(most=20))
            )

    found = asyncio.run(whole())
    assert (tmp_path / "hung").exists()
    assert found.complete
    assert "trap.pdf" in {statement.source for statement in found.part.statements}
