"""The pytest plugin: `async def` tests, on the virtual clock unless they ask for the real one.

Loaded by its entry point only (`pytest11`), since it imports pytest. It takes the tests marked
`virtual_clock` or `real_clock`; with `fanwise_mode = auto` also every other `async def` test that
is not marked for another plugin (`asyncio`, `anyio`, `trio`). So it gets on with those plugins.

Async fixtures are out of scope: open what a test needs with `async with`, in the test, where its
end is checked too.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from typing import TYPE_CHECKING, Any

import pytest

from fanwise.core import watch
from fanwise.errors import LoopBlocked
from fanwise.testing._clock import run_virtual
from fanwise.testing._orphans import Orphan, assert_no_orphans, living
from fanwise.testing.faults import Script

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator, Iterator, Mapping

_VIRTUAL, _REAL = "virtual_clock", "real_clock"
_BLOCKS = "blocks_the_loop"
_OTHERS = ("asyncio", "anyio", "trio")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--fanwise-seed` and `fanwise_mode`."""
    parser.getgroup("fanwise").addoption(
        "--fanwise-seed",
        type=int,
        default=0,
        metavar="N",
        help="seed of the virtual clock, printed when a test on it fails (default: 0)",
    )
    parser.addini(
        "fanwise_mode",
        'which async tests run under fanwise: "strict" (marked ones) or "auto" (all that no other '
        "plugin has)",
        default="strict",
    )
    parser.addini(
        "fanwise_blocking",
        'what becomes of an async test in which a step blocks the loop for 50 ms: "error" or "off"',
        default="error",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Describe the markers, and refuse a mode that does not exist."""
    config.addinivalue_line(
        "markers",
        f"{_VIRTUAL}(**options): an async test on the virtual clock; options of run_virtual",
    )
    config.addinivalue_line("markers", f"{_REAL}: an async test on the real clock")
    config.addinivalue_line("markers", f"{_BLOCKS}: an async test whose steps may block the loop")
    blocking = config.getini("fanwise_blocking")
    if blocking not in ("error", "off"):
        msg = f'fanwise_blocking must be "error" or "off", not {blocking!r}'
        raise pytest.UsageError(msg)
    mode = config.getini("fanwise_mode")
    if mode not in ("strict", "auto"):
        msg = f'fanwise_mode must be "strict" or "auto", not {mode!r}'
        raise pytest.UsageError(msg)


@pytest.fixture
def fanwise_seed(request: pytest.FixtureRequest) -> int:
    """The seed of this run: `--fanwise-seed`."""
    return _seed(request.config)


@pytest.fixture
def fanwise_faults(fanwise_seed: int) -> Iterator[Script]:
    """An empty fault script around the test: `.add(news=faults.fails())` fills it."""
    with Script(seed=fanwise_seed) as script:
        yield script


def _seed(config: pytest.Config) -> int:
    return config.getoption("--fanwise-seed") or 0


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run an async test that is ours; leave every other to the next plugin."""
    __tracebackhide__ = True
    if not _is_ours(pyfuncitem):
        return None
    runner = _runner(pyfuncitem)
    if pyfuncitem.config.getini("fanwise_blocking") == "error":
        runner = runner if pyfuncitem.get_closest_marker(_BLOCKS) else _unblocked(runner)
    given = _hypothesis(pyfuncitem.obj)
    if given is not None:
        # Each example gets a loop of its own. The test is called below us, by pytest.
        given.inner_test = _sync(given.inner_test, runner)
        return None
    names = pyfuncitem._fixtureinfo.argnames  # noqa: SLF001 - as pytest's own pytest_pyfunc_call
    _sync(pyfuncitem.obj, runner)(**{name: pyfuncitem.funcargs[name] for name in names})
    return True


def _is_ours(item: pytest.Item) -> bool:
    if not isinstance(item, pytest.Function):
        return False
    given = _hypothesis(item.obj)
    if not inspect.iscoroutinefunction(item.obj if given is None else given.inner_test):
        return False
    if _clock(item) is not None:
        return True
    others = any(item.get_closest_marker(name) for name in _OTHERS)
    return item.config.getini("fanwise_mode") == "auto" and not others


def _clock(item: pytest.Item) -> pytest.Mark | None:
    # The nearest one: a test may differ from its class, and a class from its module.
    return next((mark for mark in item.iter_markers() if mark.name in (_VIRTUAL, _REAL)), None)


def _hypothesis(test: object) -> Any:  # noqa: ANN401 - Hypothesis is no dependency of ours
    return getattr(test, "hypothesis", None)


def _runner(item: pytest.Function) -> Callable[[Coroutine[Any, Any, None]], None]:
    clock = _clock(item)
    if clock is not None and clock.name == _REAL:
        return asyncio.run
    options: Mapping[str, Any] = {} if clock is None else clock.kwargs
    given = {"seed": _seed(item.config), **options}

    def run(test: Coroutine[Any, Any, None]) -> None:
        __tracebackhide__ = True
        run_virtual(test, **given)

    return run


def _unblocked(
    runner: Callable[[Coroutine[Any, Any, None]], None],
) -> Callable[[Coroutine[Any, Any, None]], None]:
    """Make an error of a step that blocks the loop."""

    async def watched(test: Coroutine[Any, Any, None]) -> None:
        __tracebackhide__ = True
        found = watch(asyncio.get_running_loop())
        found.kept = True
        try:
            await test
        finally:
            found.stop()
        blocks = [block.text for block in found.found if block.kind == "step"]
        if blocks:
            raise LoopBlocked("\n".join(blocks))

    def run(test: Coroutine[Any, Any, None]) -> None:
        __tracebackhide__ = True
        runner(watched(test))

    return run


def _sync(
    test: Callable[..., Coroutine[Any, Any, None]],
    runner: Callable[[Coroutine[Any, Any, None]], None],
) -> Callable[..., None]:
    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - the test's own
        __tracebackhide__ = True
        runner(_checked(test(*args, **kwargs)))

    return run


async def _checked(test: Coroutine[Any, Any, None]) -> None:
    __tracebackhide__ = True
    before = living()
    await test
    assert_no_orphans(before, allow=_lives_longer)


def _lives_longer(orphan: Orphan) -> bool:
    # Tasks and generators end with the test's loop. A thread or a socket may belong to a
    # fixture or to the whole session, and a timer alone does nothing.
    return orphan.kind not in ("task", "generator")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Print the seed under a test that failed on the virtual clock."""
    report = yield
    if report.when == "call" and report.failed and _is_ours(item):
        seed = _seed(item.config)
        report.sections.append(("fanwise", f"seed {seed}: run it again with --fanwise-seed={seed}"))
    return report
