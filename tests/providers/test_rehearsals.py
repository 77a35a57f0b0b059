"""A model's first answer stops the loop no longer than its second: what is built is built before.

Processor time is measured, in processes of their own, since everything is built once in each.
"""

import subprocess
import sys

import pytest

from tests.repository.sources import ROOT

LONGEST = 0.15  # seconds; what is left out below takes more than twice as long
PROGRAM = """
import asyncio, time
{before}
from fanwise.models import Request
from fanwise.testing.twin import Twin
from tests.providers.on_twin import adapter

made = [adapter(name, Twin().client()) for name in {names}]

async def main():
    for each in made:
        began = time.thread_time()
        await each.answer(Request("hi"))
        whole = time.thread_time()
        async for _ in each.pieces(Request("hi")):
            pass
        print(whole - began, time.thread_time() - whole)

asyncio.run(main())
"""
LEFT_OUT = """
from fanwise.providers._ai import _openai
_openai.rehearse_responses = lambda: None
"""


def first_answers(*names, before=""):
    """Give the processor times of first answers, whole ones and in pieces, in seconds."""
    command = [sys.executable, "-c", PROGRAM.format(names=names, before=before)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    return [float(each) for each in done.stdout.split()]


@pytest.mark.timeout(90)  # it starts a process
@pytest.mark.real_clock
def test_first_answers_do_not_stop_the_loop():
    times = first_answers("openai", "openai-responses", "anthropic")
    assert len(times) == 6
    assert max(times) < LONGEST, times


@pytest.mark.timeout(90)  # it starts a process
@pytest.mark.real_clock
def test_an_adapter_that_builds_in_the_loop_is_found():
    assert first_answers("openai-responses", before=LEFT_OUT)[0] > LONGEST
