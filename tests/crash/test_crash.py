"""Some crash points in every check; `make crash` goes through all of them."""

import os
import subprocess
import sys

import pytest

from tests.repository.sources import ROOT

SAMPLE = 20


@pytest.mark.timeout(120)
def test_a_sample_of_crash_points_is_survived():
    """The seed is drawn anew each time, and stands in the output of a failure."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.crash", "--sample", str(SAMPLE)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{SAMPLE} points of " in done.stdout


def test_a_workload_that_is_too_small_is_refused():
    done = subprocess.run(
        [sys.executable, "-m", "tests.crash", "--sample", "1", "--least", "100000"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])},
        capture_output=True,
        text=True,
        timeout=18,
        check=False,
    )
    assert done.returncode == 1
    assert "and must have 100000" in done.stdout
