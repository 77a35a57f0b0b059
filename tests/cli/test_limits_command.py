"""`fanwise limits`: what stands at shared limits, once and live, and what is said where nothing does."""

import asyncio
import json
import signal

import pytest

from fanwise import Limit, Runtime, current, fan_map, step
from fanwise.cli import main
from fanwise.cli._limits_table import table
from fanwise.core import Need
from fanwise.stores import LimitStanding, SharedLimits, redis_board
from tests.cli.terminals import START, Terminal
from tests.stores.servers import free_port, redis_server

pytestmark = [pytest.mark.real_clock, pytest.mark.blocking_ok, pytest.mark.timeout(60)]
ON_TERMINAL = ["sh", "-c", 'exec "$@" >&2', "sh", *START]  # standard output too
HEADS = ["limit", "workers", "waiting", "slots", "requests", "tokens", "paused"]
RATES = ("requests", "tokens", "input_tokens", "output_tokens")


@pytest.fixture
def server():
    with redis_server() as started:
        yield started


def standing(name="smart", at_once=4, waiting=1, held=3, paused=0.0, **used):
    sizes = {f"{rate}_per_minute": 1000 for rate in RATES if rate in used}
    spent = {f"{rate}_per_minute": used[rate] for rate in RATES if rate in used}
    return LimitStanding(name, at_once, 2, waiting, held, paused, sizes, spent)


def ended(arguments, capsys):
    with pytest.raises(SystemExit) as left:
        main(["limits", *arguments])
    return left.value.code, *capsys.readouterr()


def test_the_table_fits_and_shows_only_rates_that_there_are():
    rows = [
        standing(requests=380, tokens=1002, paused=3.21),
        standing("a name that is longer than there is place for it", None, 0),
    ]
    assert [len(line) for line in table(rows, 70)] == [70, 70, 70]
    head, smart, long = table(rows, 70)
    assert head.split() == HEADS
    assert smart.split() == ["smart", "2", "1", "3/4", "38%", "100%", "3.2", "s"]
    assert long.startswith("a name that is")
    assert long.split()[-4:] == ["-", "-", "-", "-"]
    every = standing(at_once=100, held=100, requests=1, tokens=1, input_tokens=1, output_tokens=1)
    assert [len(line) for line in table([every], 80)] == [80, 80]


def test_names_cannot_steer_the_terminal():
    _, line = table([standing("\x1b[2Jgone")], 80)
    assert line.startswith("\\x1b[2Jgone")


@pytest.mark.live("redis")
def test_nothing_there_is_said(server, capsys):
    code, out, err = ended(["--redis", server.url], capsys)
    assert (code, out) == (1, "")
    assert "no limits at redis://127.0.0.1" in err
    code, out, err = ended(["--redis", server.url, "--json"], capsys)
    assert (code, json.loads(out)["limits"]) == (1, [])


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--redis", f"redis://:secret@127.0.0.1:{free_port()}"], 1, "no answer from redis://127"),
        (["--redis", "http://127.0.0.1"], 2, '--redis: "http:..." is not the URL'),
        (["--redis", "redis://:secret@127.0.0.1:port"], 2, '--redis: "redis:..." is not the URL'),
        (["--prefix", "a{b"], 2, "--prefix: prefix='a{b' holds a brace"),
        (["--every", "0"], 2, "--every is 0"),
        (["--every", "nan"], 2, "--every is nan"),
        (["--watch", "--json"], 2, "drop --watch"),
    ],
)
def test_what_cannot_be_is_named_without_the_password(arguments, code, said, capsys):
    found, out, err = ended(arguments, capsys)
    assert (found, out) == (code, "")
    assert said in err
    assert "secret" not in err


@step(limit="smart", needs=Need(200, 100))
async def smart(number):
    await asyncio.get_running_loop().create_future()
    current().usage(model="m", tokens_in=100, tokens_out=100)


LIMITS = {"smart": Limit(at_once=2, tokens_per_minute=60_000, requests_per_minute=600)}


async def until(true):
    async with asyncio.timeout(20):
        while not await true():
            await asyncio.sleep(0.005)


@pytest.mark.live("redis")
async def test_what_stands_there_is_shown_once_and_as_json(server):
    board = redis_board(server.url, prefix="mine")
    async with Runtime(limits=LIMITS, shared=SharedLimits(board)) as runtime:
        run = runtime.start(fan_map(smart, range(5), at_once=5))

        async def one_waits():
            return [(each.held, each.waiting) for each in await board.standing()] == [(2, 1)]

        await until(one_waits)
        shown = await asked("--redis", server.url, "--prefix", "mine")
        head, line = shown.splitlines()
        assert head.split() == HEADS
        assert line.split()[:4] == ["smart", "1", "1", "2/2"]
        found = json.loads(await asked("--redis", server.url, "--prefix", "mine", "--json"))
        (told,) = found["limits"]
        assert (told["name"], told["workers"], told["held"]) == ("smart", 1, 2)
        assert told["sizes"] == {"requests_per_minute": 600, "tokens_per_minute": 60_000}
        assert 0 < told["used"]["tokens_per_minute"] <= 1
        watched = await asked("--redis", server.url, "--prefix", "mine", "--watch")
        assert watched.split().count("2/2") == 1, "in a pipe once"
        run.cancel()


async def asked(*arguments):
    process = await asyncio.create_subprocess_exec(
        *START, "limits", *arguments, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    return out.decode()


@pytest.mark.live("redis")
async def test_it_is_watched_until_ctrl_c_also_while_the_server_is_away(server, tmp_path):
    arguments = ["limits", "--watch", "--redis", server.url, "--every", "0.1"]
    board = redis_board(server.url)
    with Terminal(arguments, cwd=tmp_path, start=ON_TERMINAL) as terminal:
        await asyncio.to_thread(terminal.until, "no limits at")
        async with Runtime(limits=LIMITS, shared=SharedLimits(board)) as runtime:
            run = runtime.start(fan_map(smart, range(5), at_once=5))
            await asyncio.to_thread(terminal.until, "workers", "2/2")
            assert all(len(line) <= 80 for line in terminal.lines)
            run.cancel()
        server.stop()
        await asyncio.to_thread(terminal.until, "no answer: ConnectionError")
        server.start()
        await asyncio.to_thread(terminal.until, "no limits at")
        terminal.process.send_signal(signal.SIGINT)
        code, _ = await asyncio.to_thread(terminal.end)
    assert code == 130
    assert "Traceback" not in terminal.text
