"""Law 11 as a source rule: time limits, widths and retries live in `core`, and only there.

A pattern that brings its own `asyncio.timeout` or retry loop works, passes its tests, and is
invisible to plans, rehearsals and the record. So the source is asked, not the behaviour.
"""

import ast
from collections.abc import Iterator, Sequence

from tests.repository.sources import Module

POLICIES = frozenset({"timeout", "timeout_at", "wait_for", "Semaphore", "BoundedSemaphore"})
HOMES = frozenset({"asyncio", "threading"})
LIBRARIES = frozenset({"aiometer", "async_timeout", "backoff", "stamina", "tenacity"})
PAUSES = frozenset({"sleep", "wait"})

# The job of `fanwise demo` as it is written in plain asyncio, which the demo compares with ours.
COMPARED = frozenset({"cli/demo/_gather.py", "cli/demo/_careful.py"})

Loop = ast.For | ast.AsyncFor | ast.While
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)


def second_engines(modules: Sequence[Module]) -> Iterator[str]:
    """Every place outside `core` that repeats a policy of the engine."""
    for module in modules:
        if module.path.parts[0] == "core" or module.path.as_posix() in COMPARED:
            continue
        for node in ast.walk(module.tree):
            if said := repeats(node):
                yield f"{module.path}:{node.lineno}: {said}"


def repeats(node: ast.AST) -> str | None:
    """What policy a node repeats, or None."""
    match node:
        case ast.Import(names=names):
            return next((said for each in names if (said := library(each.name))), None)
        case ast.ImportFrom(module=str(home), names=names):
            return library(home) or from_home(home, names)
        case ast.Attribute(value=ast.Name(id=home), attr=name):
            return policy(home, name)
        case ast.For() | ast.AsyncFor() | ast.While() if is_retry(node):
            return "a retry loop"
    return None


def library(name: str) -> str | None:
    root = name.split(".", maxsplit=1)[0]
    return f"the library {root}" if root in LIBRARIES else None


def from_home(home: str, names: Sequence[ast.alias]) -> str | None:
    return next((said for each in names if (said := policy(home, each.name))), None)


def policy(home: str, name: str) -> str | None:
    return f"{home}.{name}" if home in HOMES and name in POLICIES else None


def is_retry(loop: Loop) -> bool:
    """A loop that tries something, leaves when it worked and goes round when it failed.

    Trying a list of alternatives in turn (encodings, say) is no retry: only awaited work, loops
    that count or run for ever, and handlers that pause are meant.
    """
    tries = [node for node in own_nodes(loop) if isinstance(node, ast.Try)]
    return any(
        leaves([*each.body, *each.orelse])
        and any(goes_round(handler) for handler in each.handlers)
        and (awaits(each) or counts(loop) or pauses(each))
        for each in tries
    )


def own_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes below, those of functions defined there left out."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, FUNCTIONS):
            yield child
            yield from own_nodes(child)


def leaves(body: Sequence[ast.stmt]) -> bool:
    nodes = [node for each in body for node in (each, *own_nodes(each))]
    return any(isinstance(node, ast.Return | ast.Break) for node in nodes)


def goes_round(handler: ast.ExceptHandler) -> bool:
    return not isinstance(handler.body[-1], ast.Raise | ast.Return | ast.Break)


def awaits(node: ast.Try) -> bool:
    inner = (each for statement in node.body for each in (statement, *own_nodes(statement)))
    return any(isinstance(each, ast.Await) for each in inner)


def counts(loop: Loop) -> bool:
    if isinstance(loop, ast.While):
        return True
    call = loop.iter
    return isinstance(call, ast.Call) and ast.unparse(call.func) in ("range", "itertools.count")


def pauses(node: ast.Try) -> bool:
    calls = (each for each in ast.walk(node) if isinstance(each, ast.Call))
    return any(ast.unparse(each.func).split(".")[-1] in PAUSES for each in calls)
