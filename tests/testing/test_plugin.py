"""The pytest plugin, on toy suites in processes of their own."""

import pytest

PLUGIN = "fanwise.testing.pytest_plugin"


@pytest.fixture
def suite(pytester, monkeypatch):
    """Run a toy suite with our plugin alone, whatever is installed."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")

    def run(source, *arguments, mode="auto"):
        pytester.makeini(f"[pytest]\nfanwise_mode = {mode}\nasyncio_mode = strict\n")
        pytester.makepyfile("import asyncio, time, pytest\n" + source)
        return pytester.runpytest_subprocess("-p", PLUGIN, *arguments)

    return run


def test_async_tests_run_on_the_virtual_clock(suite):
    result = suite(
        """
async def test_an_hour():
    await asyncio.sleep(3600)
    assert asyncio.get_running_loop().time() == 3600

class TestMethods:
    async def test_method(self, tmp_path):
        assert asyncio.get_running_loop().virtual and tmp_path.exists()

@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.virtual_clock(start=5.0)
async def test_options(n):
    assert asyncio.get_running_loop().time() == 5

def test_plain():
    pass

async def test_fails():
    assert asyncio.get_running_loop().time() == 1
"""
    )
    result.assert_outcomes(passed=5, failed=1)
    result.stdout.fnmatch_lines(["*assert 0.0 == 1*"])


def test_the_real_clock_is_asked_for_and_the_nearest_marker_wins(suite):
    result = suite(
        """
pytestmark = pytest.mark.real_clock

async def test_real():
    began = time.monotonic()
    await asyncio.sleep(0.05)
    assert time.monotonic() - began > 0.04
    assert not hasattr(asyncio.get_running_loop(), "virtual")

@pytest.mark.virtual_clock
async def test_virtual():
    assert asyncio.get_running_loop().virtual
"""
    )
    result.assert_outcomes(passed=2)


@pytest.mark.parametrize("clock", ["virtual_clock", "real_clock"])
def test_what_is_left_over_is_an_error(suite, clock):
    result = suite(
        f"""
pytestmark = pytest.mark.{clock}
kept = []

async def test_task():
    asyncio.create_task(asyncio.sleep(9), name="lost")
    await asyncio.sleep(0)

async def test_generator():
    async def items():
        yield 1
    kept.append(items())
    await anext(kept[0])

async def test_clean():
    await asyncio.create_task(asyncio.sleep(0.01))
"""
    )
    result.assert_outcomes(passed=1, failed=2)
    result.stdout.fnmatch_lines(["*OrphansLeft: 1 left over:", "*task 'lost' waits at *"])


def test_a_deadlock_fails_its_test_and_no_other(suite):
    result = suite(
        """
async def test_waits_for_ever():
    await asyncio.Event().wait()

async def test_next():
    pass
"""
    )
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*Deadlock: deadlock at 0 s*"])


def test_the_seed_reaches_the_loop_and_is_printed_on_failure(suite):
    source = """
async def test_seed(fanwise_seed):
    assert asyncio.get_running_loop().seed == fanwise_seed == 41

@pytest.mark.virtual_clock(seed=3)
async def test_own():
    assert asyncio.get_running_loop().seed == 3
"""
    result = suite(source, "--fanwise-seed=41")
    result.assert_outcomes(passed=2)
    result.stdout.no_fnmatch_line("*run it again*")
    result = suite(source, "--fanwise-seed=40")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*seed 40: run it again with --fanwise-seed=40"])


OTHERS = """
import inspect

@pytest.fixture(autouse=True)
def no_warning(recwarn): pass

async def test_unmarked(): assert asyncio.get_running_loop().virtual

@pytest.mark.virtual_clock
async def test_marked(): assert asyncio.get_running_loop().virtual

@pytest.mark.asyncio
async def test_of_another(): assert not hasattr(asyncio.get_running_loop(), "virtual")
"""
# Stands for pytest-asyncio, and shows which tests are left to it.
ANOTHER = """
import asyncio, inspect

def pytest_configure(config):
    config.addinivalue_line("markers", "asyncio: another plugin's")

def pytest_addoption(parser):
    parser.addini("asyncio_mode", "another plugin's")

def pytest_pyfunc_call(pyfuncitem):
    if inspect.iscoroutinefunction(pyfuncitem.obj):
        print("left to another:", pyfuncitem.name)
        asyncio.run(pyfuncitem.obj())
        return True
"""


@pytest.mark.parametrize(("mode", "passed"), [("auto", 3), ("strict", 2)])
def test_other_plugins_keep_their_tests(suite, pytester, mode, passed):
    pytester.makeconftest(ANOTHER)
    result = suite(OTHERS, "-s", mode=mode)
    # In strict mode the unmarked test runs under the other plugin, where nothing is virtual.
    result.assert_outcomes(passed=passed, failed=3 - passed)
    result.stdout.fnmatch_lines(["*left to another: test_of_another*"])
    result.stdout.no_fnmatch_line("*left to another: test_marked*")


def test_hypothesis_gets_a_loop_for_each_example(suite):
    result = suite(
        """
from hypothesis import given, strategies as st

@given(st.integers(1, 9))
async def test_given(n):
    await asyncio.sleep(n)
    assert asyncio.get_running_loop().time() == n

@given(st.integers(1, 9))
async def test_given_fails(n):
    await asyncio.sleep(n)
    assert asyncio.get_running_loop().time() < 5
""",
        "-p",
        "no:cacheprovider",
    )
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*n=5*"])


BLOCKS = """
from fanwise import step
from fanwise.core import watch

@step
async def parse():
    found = watch(asyncio.get_running_loop()).found
    end = time.monotonic() + 15
    while not found and time.monotonic() < end:
        pass

async def test_blocks():
    await parse()

@pytest.mark.real_clock
async def test_blocks_too():
    await parse()

@pytest.mark.blocks_the_loop
async def test_may_block():
    end = time.monotonic() + 0.06
    while time.monotonic() < end:
        pass

async def test_gets_on():
    await asyncio.sleep(1)
"""


def test_a_step_that_blocks_the_loop_fails_its_test(suite):
    result = suite(BLOCKS)
    result.assert_outcomes(passed=2, failed=2)
    result.stdout.fnmatch_lines(["*LoopBlocked: step 'parse' blocks the event loop at *.py:10 *"])


def test_a_mode_that_does_not_exist_is_refused(suite):
    result = suite("def test_one(): pass", mode="automatic")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*fanwise_mode must be*'automatic'*"])


def test_a_fault_script_comes_as_a_fixture_and_is_checked_at_the_end(suite):
    result = suite(
        """
from fanwise import step
from fanwise.testing import faults

@step
async def news():
    return "news"

async def test_hangs(fanwise_faults):
    fanwise_faults.add(news=faults.hangs())
    with pytest.raises(TimeoutError):
        await news.using(timeout=60.0)()

async def test_without():
    assert await news() == "news"

async def test_misspelt(fanwise_faults):
    fanwise_faults.add(nwes=faults.hangs())
    await news()
"""
    )
    result.assert_outcomes(passed=3, errors=1)
    result.stdout.fnmatch_lines(["*no call of 'nwes' was made; steps seen: news; did you mean*"])
