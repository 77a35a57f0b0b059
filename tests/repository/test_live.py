"""The `live` marker: skipped with a reason, failed where CI says that the server must be there."""

import pytest

from tests.repository.sources import ROOT

SUITE = """
import pytest

@pytest.mark.live("redis")
def test_server():
    pass
"""


@pytest.fixture
def suite(pytester, monkeypatch):
    """A toy suite under our conftest, in a process of its own, on a machine without servers."""
    pytester.makeconftest((ROOT / "tests" / "conftest.py").read_text("utf-8"))
    pytester.makepyfile(SUITE)
    pytester.makeini("[pytest]\nmarkers =\n    live\n    blocking_ok\n")
    monkeypatch.setenv("PATH", str(pytester.mkdir("bin")))
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    monkeypatch.delenv("FANWISE_REQUIRE", raising=False)
    return pytester


def install(suite, program):
    path = suite.path / "bin" / program
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)


def outcome(suite):
    return suite.runpytest_subprocess("-rs")


def test_absent_is_skipped_with_its_reason(suite):
    result = outcome(suite)
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines("*no redis server here: none of redis-server, *")


def test_absent_but_required_is_an_error(suite, monkeypatch):
    monkeypatch.setenv("FANWISE_REQUIRE", "redis, postgres")
    result = outcome(suite)
    result.assert_outcomes(errors=1)
    assert result.ret == 1


def test_required_and_there_runs(suite, monkeypatch):
    install(suite, "redis-server")
    monkeypatch.setenv("FANWISE_REQUIRE", "redis")
    outcome(suite).assert_outcomes(passed=1)


def test_a_misspelt_requirement_is_refused(suite, monkeypatch):
    monkeypatch.setenv("FANWISE_REQUIRE", "reddis")
    result = outcome(suite)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "FANWISE_REQUIRE names ['reddis']" in str(result.stderr)
