"""Messages over a socket, and which of them the loop itself may handle."""

import asyncio
import socket
import threading

import pytest

from fanwise.pools._channel import HEADER, SMALL, Channel, is_plain

pytestmark = pytest.mark.real_clock


class Whole(int):
    """An integer with a class of its own."""


def around():
    ring = [1]
    ring.append(ring)
    return ring


@pytest.mark.parametrize(
    "value",
    [
        1,
        -(1 << 63),
        0.5,
        None,
        True,
        1j,
        "a" * 1024,
        b"",
        (),
        [[{}]],
        {"a": [1, (2, "b")]},
        [1] * 60,
    ],
)
def test_plain_values(value):
    assert is_plain(value)
    assert is_plain((value,), {"name": value}) or value == [1] * 60


@pytest.mark.parametrize(
    "value",
    [1 << 64, -(1 << 64), "a" * 1025, b"a" * 1025, [1] * 64, {1: {2: [3] * 64}}, {1}, Whole(1),
     [Whole(1)], {Whole(1): 1}, {1: Whole(1)}, object(), len, int, around(), bytearray(), ...],
)  # fmt: skip
def test_values_that_are_not(value):
    assert not is_plain(value)
    assert not is_plain(1, (value,))


@pytest.fixture
def ends():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@pytest.mark.parametrize("size", [0, 1, SMALL - 1, SMALL, SMALL + 1, 65_536, 3_000_000])
@pytest.mark.blocking_ok
def test_what_is_sent_is_received(ends, size):
    ours, theirs = map(Channel, ends)
    message = bytes(range(256)) * (size // 256) + bytes(size % 256)
    sends = threading.Thread(target=lambda: [ours.send(memoryview(message)) for _ in range(2)])
    sends.start()
    assert [theirs.receive(), theirs.receive()] == [message, message]
    sends.join()


def test_a_message_in_pieces_comes_when_it_is_whole(ends):
    ours, theirs = ends
    theirs.settimeout(0)
    channel = Channel(theirs)
    message = HEADER.pack(300, True) + b"x" * 300
    for byte in range(len(message) - 1):
        ours.send(message[byte : byte + 1])
        assert channel.receive_now() is None
    ours.send(message[-1:])
    assert channel.receive_now() == b"x" * 300
    assert channel.receive_now() is None


@pytest.mark.blocking_ok
def test_what_is_not_plain_is_left_to_who_may_wait(ends):
    ours, theirs = ends
    theirs.settimeout(0)
    channel = Channel(theirs)
    Channel(ours).send(memoryview(b"abc"))
    assert channel.receive_now() is None
    assert channel.has_whole()
    assert channel.receive() == b"abc"
    ours.close()
    assert channel.receive_now() is None
    with pytest.raises(EOFError):
        channel.receive()


@pytest.mark.blocking_ok
def test_where_there_is_no_room_the_rest_is_sent_later(ends):
    ours, theirs = ends
    ours.settimeout(0)
    channel = Channel(ours)
    sent = 0
    while channel.send_now(memoryview(b"y" * SMALL)):
        sent += 1
    assert sent
    reader = Channel(theirs)
    found = [reader.receive() for _ in range(sent)]
    channel.send_rest()
    assert [*found, reader.receive()] == [b"y" * SMALL] * (sent + 1)


async def test_in_a_loop_it_never_waits(ends):
    ends[0].settimeout(0)
    channel = Channel(ends[0])
    assert channel.send_now(memoryview(b"a"))
    assert channel.receive_now() is None
    await asyncio.sleep(0)
