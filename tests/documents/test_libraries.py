"""One suite over the disk and its in-memory twin."""

import os
import random

import pytest

from fanwise.documents import Document, Files, Found, Gap, Library, Memory, Reason

FILES = {
    "top.md": b"# Top\n\nText.\n",
    "notes.txt": b"Some notes.\n",
    "deep/a.rst": b"PEP: 7\nTitle: A name\n  that goes on\n\nText\n====\n\nBody.\n",
    "deep/deeper/b.markdown": b"---\ntitle: 'Front'\n---\n\n# Not this\n",
    "deep/image.png": b"\x89PNG\0\0",
    "deep/.hidden.md": b"hidden",
    ".git/c.md": b"hidden",
    "bad/empty.md": b"",
    "bad/blank.md": b" \n\t\r\n\xef\xbb\xbf",
    "bad/random.txt": random.Random(1).randbytes(4096),
    "bad/controls.txt": b"abc\x01\x02\x03\x04" * 50,
    "bad/latin.md": "na\u00efve".encode("latin-1"),
    "bom.md": b"\xef\xbb\xbf# Marked\r\n\r\nText.\r\n",
    "LICENSE": b"Do what you like.\n",
}
BROKEN = {"bad/dangling.md": Reason.DANGLING_LINK}


def disk(folder):
    for name, data in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (folder / "bad/dangling.md").symlink_to("nowhere.md")
    return Files()


@pytest.fixture(params=["disk", "memory"])
def library(request, tmp_path, monkeypatch) -> Library:
    monkeypatch.chdir(tmp_path)
    return disk(tmp_path) if request.param == "disk" else Memory(FILES, broken=BROKEN)


def test_a_folder_gives_its_documents_sorted_without_hidden_and_other_files(library):
    assert library.find(["deep"]) == Found(("deep/a.rst", "deep/deeper/b.markdown"))


def test_the_folder_that_one_is_in(library):
    found = library.find(["."])
    assert found.names[0] == "bad/blank.md"
    assert "LICENSE" not in found.names
    assert ".git/c.md" not in found.names
    assert [gap.reason for gap in found.gaps] == [Reason.DANGLING_LINK]


def test_single_files_are_taken_whatever_their_suffix(library):
    assert library.find(["LICENSE", "top.md", "LICENSE"]).names == ("LICENSE", "top.md")
    document = library.read("LICENSE")
    assert isinstance(document, Document)
    assert document.markup == "plain"


def test_patterns(library):
    assert library.find(["*.md"]).names == ("bom.md", "top.md")
    assert library.find(["**/*.rst"]).names == ("deep/a.rst",)
    assert library.find(["deep/?.rst", "dee[p]/a.rst"]).names == ("deep/a.rst",)
    assert library.find(["nothing*.md"]).gaps == (
        Gap("nothing*.md", Reason.NOT_FOUND, "no file matches"),
    )


def test_what_is_not_there_is_a_gap(library):
    gap = Gap("absent.md", Reason.NOT_FOUND, "no such file or folder")
    assert library.find(["absent.md"]) == Found((), (gap,))
    assert library.read("absent.md") == gap


def test_a_dangling_link_is_a_gap_alone_in_a_folder_and_read(library):
    for found in (library.find(["bad/dangling.md"]), library.find(["bad"])):
        assert [(g.name, g.reason) for g in found.gaps] == [
            ("bad/dangling.md", Reason.DANGLING_LINK)
        ]
    gap = library.read("bad/dangling.md")
    assert isinstance(gap, Gap)
    assert gap.reason is Reason.DANGLING_LINK


@pytest.mark.parametrize(
    ("name", "reason", "detail"),
    [
        ("bad/empty.md", Reason.EMPTY, "0 bytes"),
        ("bad/blank.md", Reason.EMPTY, "only blanks"),
        ("bad/random.txt", Reason.BINARY, "4,096 bytes that are not text"),
        ("bad/controls.txt", Reason.BINARY, "350 bytes that are not text"),
        ("bad/latin.md", Reason.NOT_UTF8, "byte 0xef at offset 2"),
    ],
)
def test_bad_files_are_gaps_with_their_reason(library, name, reason, detail):
    assert library.read(name) == Gap(name, reason, detail)
    assert str(Gap(name, reason, detail)) == f"{name}: {reason.value} ({detail})"


@pytest.mark.parametrize(
    ("name", "title", "markup"),
    [
        ("top.md", "Top", "markdown"),
        ("notes.txt", "", "plain"),
        ("deep/a.rst", "PEP 7: A name that goes on", "restructured"),
        ("deep/deeper/b.markdown", "Front", "markdown"),
        ("bom.md", "Marked", "markdown"),
    ],
)
def test_documents_have_title_and_markup_and_their_text_unchanged(library, name, title, markup):
    assert library.read(name) == Document(name, FILES[name].decode(), markup, title)


def test_a_folder_without_documents_is_a_gap(tmp_path):
    (tmp_path / "empty").mkdir()
    place = str(tmp_path / "empty")
    assert [g.reason for g in Files().find([place]).gaps] == [Reason.NO_DOCUMENTS]
    assert [g.reason for g in Memory({"empty/x.png": b"x"}).find(["empty"]).gaps] == [
        Reason.NO_DOCUMENTS
    ]


def test_loops_of_links_end_and_are_named(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.md").write_text("Text.")
    (tmp_path / "a" / "back").symlink_to("..")
    (tmp_path / "self.md").symlink_to("self.md")
    found = Files().find([str(tmp_path)])
    assert [os.path.basename(name) for name in found.names] == ["x.md"]
    assert {(os.path.basename(g.name), g.reason) for g in found.gaps} == {
        ("back", Reason.LINK_LOOP),
        ("self.md", Reason.LINK_LOOP),
    }


def test_a_folder_linked_from_beside_is_read_once(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.md").write_text("Text.")
    (tmp_path / "b").symlink_to("a")
    assert len(Files().find([str(tmp_path)]).names) == 1


def test_pipes_are_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.md")
    gap = Files().read(str(tmp_path / "pipe.md"))
    assert isinstance(gap, Gap)
    assert (gap.reason, gap.detail) == (Reason.NOT_A_FILE, "a pipe")


def test_files_above_the_bound_are_not_read(tmp_path):
    with (tmp_path / "huge.md").open("wb") as file:
        file.truncate(64 * 1024 * 1024 + 1)
    gap = Files().read(str(tmp_path / "huge.md"))
    assert isinstance(gap, Gap)
    assert gap.reason is Reason.TOO_LARGE


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything; tests/cli runs it as nobody")
def test_files_without_permission_are_named(tmp_path):
    (tmp_path / "secret.md").write_text("Text.")
    (tmp_path / "secret.md").chmod(0)
    gap = Files().read(str(tmp_path / "secret.md"))
    assert isinstance(gap, Gap)
    assert (gap.reason, gap.detail) == (Reason.UNREADABLE, "permission denied")
