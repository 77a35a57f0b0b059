"""What the workers of these tests run: they find it by name, so it cannot stand in a test."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from multiprocessing import current_process
from typing import Any, ClassVar

from fanwise import Retry, current, step


def tell(path: str, text: object = "") -> None:
    """Say something to a test that listens on a named pipe."""
    with open(path, "w") as pipe:
        pipe.write(f"{text}\n")


def until_let(path: str) -> None:
    """Wait until a test says go."""
    with open(path) as pipe:
        pipe.readline()


@step(pool="process")
def where() -> tuple[int, str]:
    return os.getpid(), current_process().name


@step(pool="process")
def add(a: int, b: int = 0) -> int:
    return a + b


@step(pool="process")
def hang(begun: str) -> None:
    tell(begun, os.getpid())
    threading.Event().wait()


@step(pool="process")
def hang_with_child(begun: str) -> None:
    code = "import sys; sys.stdin.read()"
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
    tell(begun, f"{os.getpid()} {child.pid}")
    threading.Event().wait()


@step(pool="process")
def gate(begun: str, go: str) -> int:
    tell(begun, os.getpid())
    until_let(go)
    return os.getpid()


@step(pool="process")
def die(how: str) -> None:
    if how == "exit":
        os._exit(3)
    os.kill(os.getpid(), signal.Signals[how])
    threading.Event().wait()


@step(pool="process")
def die_leaving_a_child() -> None:
    """End, while a child still holds every descriptor of this process."""
    if os.fork() == 0:
        threading.Event().wait()
    os._exit(5)


@step(pool="process", retry=Retry(attempts=3, shortest=0, longest=0))
def die_once(path: str) -> int:
    with open(path, "a") as tries:
        tries.write("x")
    if os.path.getsize(path) == 1:
        os._exit(1)
    return current().attempt


@step(pool="process")
def fail(text: str) -> None:
    raise LookupError(text)


class Odd(Exception):
    """Pickles, and cannot be unpickled: its arguments are not those of its `__init__`."""

    def __init__(self, a: int, b: int) -> None:
        super().__init__(f"odd {a} {b}")


class Held(Exception):
    """Cannot be pickled at all."""

    def __init__(self) -> None:
        super().__init__("held")
        self.lock = threading.Lock()


@step(pool="process")
def fail_oddly(kind: str) -> None:
    if kind == "stop":
        next(iter(()))
    raise Odd(1, 2) if kind == "odd" else Held


@step(pool="process")
def gives_a_lock() -> threading.Lock:
    return threading.Lock()


class Marked:
    """Notes in which process and thread it is pickled and unpickled."""

    seen: ClassVar[list[tuple[str, int, str]]] = []

    def __init__(self, size: int) -> None:
        self.content = bytes(size)

    def __getstate__(self) -> bytes:
        self.note("pickled")
        return self.content

    def __setstate__(self, content: bytes) -> None:
        self.content = content
        self.note("unpickled")

    def note(self, what: str) -> None:
        self.seen.append((what, os.getpid(), threading.current_thread().name))


@step(pool="process")
def echo(thing: Any) -> Any:
    return thing


@step(pool="process")
def marked(size: int) -> Marked:
    return Marked(size)


@step(pool="process")
def zeros(size: int) -> bytes:
    return bytes(size)


@step(pool="process")
def size(thing: Any) -> int:
    return len(thing)


@step(pool="process", timeout=30.0)
def asks() -> dict[str, Any]:
    now = current()
    now.usage(model="small", tokens_in=7)
    now.usage(tokens_in=1, tokens_out=2)
    return {
        "run": now.run_id,
        "attempt": now.attempt,
        "left": now.deadline_left,
        "time": now.time(),
        "random": (now.random().random(), now.random().random()),
        "uuid": now.uuid(),
        "text": repr(now),
    }


@step(pool="process")
def key() -> str:
    return current().idempotency_key


keyed_key = step(key.function, effect="write", keyed=True, pool="process", name="keyed_key")


class Machine:
    """Its methods are steps."""

    def __init__(self, factor: int) -> None:
        self.factor = factor

    @step(pool="process", key=lambda self, n: n)
    def times(self, n: int) -> int:
        return self.factor * n


def apply(function: Any, *args: Any) -> Any:
    return function(*args)


apply_step = step(apply, pool="process")
elsewhere = step(add.function, pool="elsewhere", name="elsewhere")
asks_elsewhere = step(asks.function, pool="elsewhere", name="asks")


@step(pool="process")
def turns() -> int:
    """Give the policy by which this process gets the processor."""
    return os.sched_getscheduler(0)


@step(pool="process")
def surroundings(variable: str) -> tuple[str, str | None]:
    return os.getcwd(), os.environ.get(variable)
