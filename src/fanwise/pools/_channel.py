"""Messages over a socket: its length, whether it is plain, and then so many bytes.

"Plain" is what the loop itself may read: small, and of built-in types alone, so that no code of
others runs in unpickling it.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, TypeVar

T = TypeVar("T", int, bytes)

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

HEADER = struct.Struct("!Q?")
SMALL = 4096  # bytes of a message that goes at once: every system's buffer holds it
THINGS = 64  # in a value that is small
CHARACTERS = 1024
AT_ONCE = 65536
PLAIN = {bool, type(None), float, complex}
LONG = 1 << 64


class Channel:
    """One end of a socket, for one message at a time."""

    __slots__ = ("_read", "_socket", "_unsent")

    def __init__(self, end: socket.socket) -> None:
        """Use a socket; who gives it closes it."""
        self._socket = end
        self._read = b""  # and not given yet
        self._unsent: Sequence[bytes | memoryview] = ()

    def send(self, message: memoryview, *, plain: bool = False) -> None:
        """Send a message; raises `OSError`."""
        self._unsent = (HEADER.pack(len(message), plain), message)
        if len(message) <= SMALL:
            self._unsent = (b"".join(self._unsent),)
        self.send_rest()

    def send_now(self, message: memoryview) -> bool:
        """Send what can be sent without waiting; say whether that was all.

        The socket must not be a blocking one. An end of the other side is for `receive`.
        """
        whole = HEADER.pack(len(message), True) + message  # noqa: FBT003 - the format's field
        sent = 0
        try:
            sent = self._socket.send(whole)
        except OSError:  # no room, or nobody there
            self._unsent = (whole,)
        else:
            self._unsent = (whole[sent:],) if sent < len(whole) else ()
        return not self._unsent

    def send_rest(self) -> None:
        """Send what `send_now` has left; raises `OSError`."""
        unsent, self._unsent = self._unsent, ()
        for each in unsent:
            self._socket.sendall(each)

    def receive_now(self) -> bytes | None:
        """Give a plain message that is there; `None` where it takes `receive`.

        The socket must not be a blocking one.
        """
        try:
            self._read += self._socket.recv(AT_ONCE)
        except OSError:  # nothing there, or broken
            return None
        if not self.has_whole():
            return None
        size, plain = HEADER.unpack_from(self._read)
        return self._taken(HEADER.size + size) if plain else None

    def has_whole(self) -> bool:
        """Say whether a message has been read that is not given yet."""
        if len(self._read) < HEADER.size:
            return False
        size, _ = HEADER.unpack_from(self._read)
        whole: int = HEADER.size + size
        return len(self._read) >= whole

    def receive(self) -> bytes | bytearray:
        """Wait for a message; raises `OSError`, or `EOFError` at the end."""
        while len(self._read) < HEADER.size:
            self._read += _some(self._socket.recv(AT_ONCE))
        size, _ = HEADER.unpack_from(self._read)
        have = len(self._read) - HEADER.size
        if have >= size:
            return self._taken(HEADER.size + size)
        message = bytearray(size)
        message[:have] = self._read[HEADER.size :]
        self._read = b""
        view = memoryview(message)[have:]
        while view:
            view = view[_some(self._socket.recv_into(view)) :]
        return message

    def _taken(self, end: int) -> bytes:
        message, self._read = self._read[HEADER.size : end], self._read[end:]
        return message

    def __repr__(self) -> str:
        """Show the descriptor."""
        return f"<Channel {self._socket}>"


def _some(read: T) -> T:
    if not read:
        raise EOFError
    return read


def is_plain(*values: object) -> bool:
    """Say whether values are small and of built-in types alone, whatever holds whatever."""
    things: list[object] = [*values]
    for thing in things:  # it grows meanwhile
        kind = type(thing)
        if kind is int:
            if not -LONG < thing < LONG:  # type: ignore[operator] # an int
                return False
        elif kind is str or kind is bytes:
            if len(thing) > CHARACTERS:  # type: ignore[arg-type] # text
                return False
        elif kind is tuple or kind is list or kind is dict:
            if len(things) + len(thing) > THINGS:  # type: ignore[arg-type] # a collection
                return False
            things.extend(thing)  # type: ignore[arg-type] # as above
            if kind is dict:
                things.extend(thing.values())  # type: ignore[attr-defined] # as above
        elif kind not in PLAIN:
            return False
    return True
