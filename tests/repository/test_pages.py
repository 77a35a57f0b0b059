"""README and docs are executed: a page that is wrong fails, alone, and leaves nothing behind."""

import pytest

from tests.repository.sources import ROOT

FENCE = "`" * 3


def page(*blocks):
    return "# Page\n" + "".join(f"\n{FENCE}python\n{block}\n{FENCE}\n" for block in blocks)


@pytest.fixture
def pages(pytester):
    """A toy repository with README and docs under our root conftest."""
    pytester.makeconftest((ROOT / "conftest.py").read_text("utf-8"))
    pytester.makeini("[pytest]\nfilterwarnings = error\n")
    write(pytester, "README.md", page("x = 1", "assert x == 1"))
    write(pytester, "docs/a.md", page("assert 'x' not in dir()"))
    write(pytester, "docs/decisions/0001-b.md", page("x = 2"))
    write(pytester, "notes.md", page("assert False"))
    return pytester


def write(pytester, name, text):
    path = pytester.path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def outcomes(pages):
    return pages.runpytest_subprocess("-p", "no:fanwise", "README.md", "docs")


def test_every_page_runs_in_a_namespace_of_its_own(pages):
    outcomes(pages).assert_outcomes(passed=4)


def test_a_failing_example_fails_alone(pages):
    write(pages, "docs/a.md", page("raise LookupError('gone')", "pass"))
    result = outcomes(pages)
    result.assert_outcomes(passed=4, failed=1)
    result.stdout.fnmatch_lines("*LookupError: gone*")


def test_a_resource_left_open_fails_alone(pages):
    write(pages, "docs/a.md", page("_ = open('README.md').name", "pass"))
    result = outcomes(pages)
    result.assert_outcomes(passed=4, failed=1)
    result.stdout.fnmatch_lines("*ResourceWarning*")


def test_what_a_page_writes_is_not_left_in_the_tree(pages):
    emptied = "_ = open('docs/a.md', 'w').close()"
    write(pages, "docs/a.md", page(emptied, "open('run', 'w').close()"))
    outcomes(pages).assert_outcomes(passed=5)
    assert "Page" in (pages.path / "docs" / "a.md").read_text()
    assert not list(pages.path.rglob("run"))


def test_a_block_may_be_skipped_with_a_reason(pages):
    skip = '\n<!--- skip: next "needs a key" -->\n'
    write(pages, "docs/a.md", "# Page\n" + skip + page("assert False").removeprefix("# Page\n"))
    outcomes(pages).assert_outcomes(passed=4, skipped=1)
