"""Servers as they are met: behind a socket, with a password, full, read-only, old, in a cluster.

What passes is waited for, what stays is said with what to do, and no password is ever shown.
"""

import asyncio
import logging
import subprocess
from contextlib import asynccontextmanager
from itertools import count

import pytest
from redis.asyncio import Redis

from fanwise import Limit, Runtime, deadline, fan_map, step
from fanwise.core import Amount
from fanwise.errors import DeadlinePassed, LimitUnavailable
from fanwise.stores import MemoryBoard, SharedLimits, redis_board
from fanwise.stores._redis import RedisBoard
from fanwise.stores._visit import GRANTED, BoardLost, Rate, Terms, Visit
from fanwise.testing import no_orphans
from tests.stores.servers import free_port, redis_server
from tests.stores.workers import Worker, manner, terms

pytestmark = [pytest.mark.live("redis"), pytest.mark.real_clock, pytest.mark.timeout(60)]

LIMITS = {"smart": Limit(at_once=2, requests_per_minute=60_000, burst=1.0)}
TERMS = Terms("smart", 2, (Rate.per_minute(60_000, 1_000), None, None, None))


@step(limit="smart")
async def ask(i):
    return i


async def asked(url, **given):
    """Ask three times in a runtime that shares over `url`."""
    async with no_orphans(), Runtime(limits=LIMITS, shared=url, **given) as runtime:
        return list((await runtime.run(fan_map(ask, range(3), at_once=3))).values())


def a_visit(number=1, **said):
    return Visit("ann", number, number == 1, 5_000_000, need=(1, 0, 0, 0), slots=1, **said)


@asynccontextmanager
async def board_of(url, **given):
    board = redis_board(url, prefix="kinds", **given)
    try:
        yield board
    finally:
        await board.aclose()


@asynccontextmanager
async def administered(server):
    """Give another connection to a server."""
    client = Redis.from_url(server.url, protocol=2)
    try:
        await client.ping()
        yield client
    finally:
        await client.aclose()
        await client.connection_pool.aclose()


# Addresses.


async def test_a_socket_of_this_machine_will_do(tmp_path):
    path = tmp_path / "redis.sock"
    with redis_server("--unixsocket", str(path)):
        assert await asked(f"unix://{path}") == [0, 1, 2]


@pytest.mark.blocking_ok  # a certificate is read from a file
async def test_an_encrypted_connection_will_do(tmp_path):
    key, certificate, port = tmp_path / "key.pem", tmp_path / "cert.pem", free_port()
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"]
    made += ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    made += ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(made, check=True, capture_output=True)
    options = ["--tls-port", str(port), "--tls-auth-clients", "no", "--tls-ca-cert-file"]
    options += [str(certificate), "--tls-cert-file", str(certificate), "--tls-key-file", str(key)]
    with redis_server(*options):
        url = f"rediss://127.0.0.1:{port}"
        assert await asked(f"{url}?ssl_ca_certs={certificate}") == [0, 1, 2]
        async with board_of(url) as board:
            with pytest.raises(BoardLost, match="certificate verify failed"):
                await board.visit(TERMS, a_visit())


async def test_a_user_and_a_database_will_do(own_server):
    async with administered(own_server) as client:
        rights = "+@scripting +@pubsub +@read +@write +time ~fanwise:* &fanwise:*"
        await client.execute_command("ACL", "SETUSER", "ann", "on", ">p/w", *rights.split())
        await client.execute_command("ACL", "SETUSER", "ann", "+select")
    url = own_server.url.replace("://", "://ann:p%2Fw@")
    assert await asked(url) == [0, 1, 2]
    assert await asked(f"{url}/3") == [0, 1, 2]


@pytest.mark.parametrize(
    "url",
    [
        "redis://:se/cret@127.0.0.1:1", "redis://:12/secret@127.0.0.1", "reddis://:secret@h",
        "redis://:secret@127.0.0.1:port", "http://user:secret@127.0.0.1", "secret", "redis+x://secret",
    ],
)  # fmt: skip
def test_an_address_that_is_none_is_refused_without_its_password(url):
    with pytest.raises(
        ValueError, match=r"is not known; known are: |is not the URL of a Redis"
    ) as it:
        Runtime(shared=url)
    assert "cret" not in str(it.value)
    with pytest.raises(ValueError, match="is not the URL of a Redis server") as it:
        redis_board(url)
    assert "cret" not in str(it.value)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"connections": 0}, "connections is a number of at least 1, got 0"),
        ({"timeout": 0.0}, "timeout is a number of seconds above 0, got 0.0"),
    ],
)
def test_what_a_board_cannot_mean_is_refused(given, said):
    with pytest.raises(ValueError, match=said):
        redis_board("redis://127.0.0.1:1", **given)


def test_what_is_no_place_for_limits_is_refused():
    with pytest.raises(TypeError, match=r"shared is where limits stand, such as .* got a int"):
        Runtime(shared=6379)
    with pytest.raises(TypeError, match=r"board is a MemoryBoard.. or a redis_board.*got a str"):
        SharedLimits("redis://127.0.0.1")


async def test_where_nobody_is_it_is_said_and_waited(caplog):
    """The address stands in the warning, the password does not; who has a deadline keeps it."""
    caplog.set_level(logging.WARNING)
    port = free_port()
    with pytest.raises(DeadlinePassed), deadline(0.5):
        await asked(f"redis://ann:secret@127.0.0.1:{port}/2")
    (said,) = [each.getMessage() for each in caplog.records]
    assert f"redis://127.0.0.1:{port}/2> does not answer, nothing is admitted until it does" in said
    assert "secret" not in caplog.text


async def test_a_server_that_comes_later_is_found(tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    with redis_server() as server:
        server.stop()
        job = asyncio.create_task(asked(server.url))
        while not caplog.records:
            await asyncio.sleep(0.01)
        server.start()
        assert await job == [0, 1, 2]
    assert caplog.records[-1].getMessage().endswith("is back")


# What stays is said, and what to do.


async def refused(url):
    async with Runtime(limits=LIMITS, shared=url) as runtime:
        with pytest.raises(LimitUnavailable) as it:
            await runtime.run(ask(0))
    assert "secret" not in str(it.value)
    return str(it.value)


async def test_a_password_that_is_wrong_or_missing_is_said(own_server):
    async with administered(own_server) as client:
        await client.config_set("requirepass", "right")
    wrong = await refused(own_server.url.replace("://", "://:secret@"))
    assert "redis://127.0.0.1" in wrong
    assert "the URL has another user or password than the server" in wrong
    assert "the URL needs a password" in await refused(own_server.url)
    async with administered(own_server) as client:
        await client.execute_command("AUTH", "right")
        await client.config_set("requirepass", "")


@pytest.mark.parametrize("rights", ["+@read", "+@scripting +@pubsub +@read +@write"])
async def test_a_right_that_is_missing_is_said(own_server, rights):
    given = ["ann", "on", ">secret", "~*", "&*", *rights.split()]
    async with administered(own_server) as client:
        await client.execute_command("ACL", "SETUSER", *given)
    said = await refused(own_server.url.replace("://", "://ann:secret@"))
    assert "needs the rights +@scripting" in said
    assert "~fanwise:* &fanwise:*" in said


async def test_keys_of_somebody_else_are_said(own_server):
    async with administered(own_server) as client:
        await client.rpush("fanwise:{smart}:bucket", "mine")
    assert "give a prefix of your own" in await refused(own_server.url)


async def answered(reader, writer):
    """Speak as a Redis 4 does of a script that asks for the time and writes."""
    while (head := await reader.readline()).startswith(b"*"):
        words = []
        for _ in range(int(head[1:])):
            size = int((await reader.readline())[1:])
            words.append((await reader.readexactly(size + 2))[:-2])
        match words[0]:
            case b"EVALSHA":
                writer.write(b"-ERR Error running script: Write commands not allowed after non ")
                writer.write(b"deterministic commands. Call redis.replicate_commands() first\r\n")
            case _:
                writer.write(b"+OK\r\n")
    writer.close()


async def test_a_server_that_is_too_old_is_said():
    old = await asyncio.start_server(answered, "127.0.0.1", 0)
    async with old:
        port = old.sockets[0].getsockname()[1]
        assert "limits need Redis 5 or later" in await refused(f"redis://127.0.0.1:{port}")


# What passes is waited for, and nothing half done is left.


PASSING = {
    "full": (("maxmemory", "1"), ("maxmemory", "0"), "OOM"),
    "cannot save": (("min-replicas-to-write", "1"), ("min-replicas-to-write", "0"), "NOREPLICAS"),
}


@pytest.mark.parametrize("name", PASSING)
async def test_a_server_that_cannot_write_for_now_is_waited_for(own_server, name):
    broken, healed, said = PASSING[name]
    async with no_orphans(), administered(own_server) as client, board_of(own_server.url) as board:
        worker = Worker(0, TERMS, board, manner(heartbeat=0.2, lease=1), count(1))
        await worker.attempt(Amount(), Amount(), 0)
        before = [await client.dump(key) for key in board.keys("smart")]
        await client.config_set(*broken)
        with pytest.raises(BoardLost, match=said):
            await board.visit(TERMS, a_visit(pause=1_000_000))
        assert [await client.dump(key) for key in board.keys("smart")] == before
        job = asyncio.create_task(worker.attempt(Amount(), Amount(), 0))
        while worker.gate._away is None and not job.done():
            await asyncio.sleep(0.01)
        await client.config_set(*healed)
        await job
        await worker.gate.aclose()


async def test_a_replica_is_waited_for_until_it_may_write(own_server):
    async with administered(own_server) as client, board_of(own_server.url) as board:
        await client.execute_command("REPLICAOF", "127.0.0.1", str(free_port()))
        with pytest.raises(BoardLost, match="READONLY"):
            await board.visit(TERMS, a_visit())
        await client.execute_command("REPLICAOF", "NO", "ONE")
        assert (await board.visit(TERMS, a_visit())).status == GRANTED


# A cluster.


async def in_cluster(servers):
    """Join servers that each have a part of the slots."""
    clients = [Redis.from_url(server.url, protocol=2) for server in servers]
    share = 16_384 // len(servers)
    for number, (server, client) in enumerate(zip(servers, clients, strict=True)):
        slots = (str(number * share), str((number + 1) * share - 1))
        await client.execute_command("CLUSTER", "ADDSLOTSRANGE", *slots)
        if number:
            await clients[0].execute_command("CLUSTER", "MEET", "127.0.0.1", str(server.port))
    for client in clients:
        while b"cluster_state:ok" not in await client.execute_command("CLUSTER", "INFO"):
            await asyncio.sleep(0.05)
    return clients


async def test_a_limit_is_found_at_its_node_of_a_cluster():
    options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "5000")
    with redis_server(*options) as first, redis_server(*options) as second:
        clients = await in_cluster([first, second])
        async with no_orphans():
            for name in "abcdefgh":  # any URL will do, and one tag keeps a limit together
                found = set()
                for server in (first, second):
                    async with board_of(server.url) as board:
                        limit = TERMS._replace(name=name)
                        assert (await board.visit(limit, a_visit())).status == GRANTED
                        found |= {(await each.dbsize()) for each in clients}
            sizes = [await client.dbsize() for client in clients]
            assert sum(sizes) == 16
            assert min(sizes) > 0
            ann, bob = redis_board(first.url), redis_board(second.url)
            await woken_through(ann, bob, "b")
            await ann.aclose()
            await bob.aclose()
        for client in clients:
            await client.aclose()
            await client.connection_pool.aclose()


async def woken_through(ann, bob, name):
    """One who waits is woken by one who asked another node."""
    limit = terms(at_once=1, name=name)
    numbers = count(1)
    first, second = (
        Worker(i, limit, b, manner(heartbeat=100.0), numbers) for i, b in ((0, ann), (1, bob))
    )
    number = await first.turn(Amount())
    waiting = asyncio.create_task(second.turn(Amount()))
    while second.gate._wanted is None:
        await asyncio.sleep(0.01)
    first.gate.settle(number, Amount())
    first.gate.release(number)
    second.gate.release(await waiting)
    await first.gate.aclose()
    await second.gate.aclose()


# Connections.


async def test_connections_are_bounded_and_none_is_left(own_server):
    names = [f"limit {number}" for number in range(12)]
    limits = {name: Limit(at_once=2, requests_per_minute=60_000) for name in names}
    steps = [step(lambda: None, name=name, limit=name) for name in names]
    async with administered(own_server) as client:
        async with no_orphans(), Runtime(limits=limits, shared=own_server.url) as runtime:
            await asyncio.gather(*[runtime.run(each()) for each in steps for _ in range(5)])
            open_now = len(await client.client_list())
            assert open_now <= 1 + 4 + 1  # this one, those that visit, the one that listens
        while len(await client.client_list()) > 1:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("where", ["memory", "redis"])
async def test_who_leaves_closes_nothing_for_others(server, where):
    board = MemoryBoard() if where == "memory" else RedisBoard(server.url, prefix="leaving")
    limits = {"smart": Limit(at_once=1)}
    entered = asyncio.Event()

    @step(limit="smart")
    async def hold(until):
        entered.set()
        await until.wait()

    async with no_orphans():
        first, last = asyncio.Event(), asyncio.Event()
        ann = Runtime(limits=limits, shared=SharedLimits(board, heartbeat=100.0))
        bob = Runtime(limits=limits, shared=SharedLimits(board, heartbeat=100.0))
        cal = Runtime(limits=limits, shared=SharedLimits(board, heartbeat=100.0))
        async with ann, bob:
            async with cal:
                last.set()
                await cal.run(hold(last))
            entered.clear()
            holding = asyncio.create_task(run(ann, hold(first)))
            await entered.wait()
            waiting = asyncio.create_task(run(bob, hold(last)))
            while not any(each.waiting for each in bob.statistics().limits):
                await asyncio.sleep(0.01)
            first.set()
            await asyncio.gather(holding, waiting)


async def run(runtime, call):
    return await runtime.run(call)
