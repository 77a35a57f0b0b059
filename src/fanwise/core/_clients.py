"""Whether a step calls a client of its own, before it has done so once.

Problem: a step that says nothing of what it uses cannot reserve, and under a budget a thousand such
calls at once would be counted only when they have ended. Method: look at what the code of its
function names: a client of an official library (an object in its module, one that it closes over,
an argument, an attribute of one), and one of the methods that ask. Who only hands a client on names
no such method. Rejected: to patch the clients, and to run first calls alone (a step that waits for
others would keep them waiting). A call behind a function of the user's own is not seen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fanwise.core._call import Call

BASES = frozenset({"BaseClient", "BaseChatModel", "BaseApiClient", "Client"})
PACKAGES = ("anthropic", "openai", "langchain", "google.genai", "groq", "mistralai", "cohere")
ASKING = frozenset(
    {"create", "stream", "parse", "invoke", "ainvoke", "astream", "generate_content", "complete",
     "chat", "generate_content_stream"}
)  # fmt: skip


def own_client(call: Call[Any]) -> str | None:
    """Name the class of a client that the function of a call asks; `None` where none is seen."""
    function = getattr(call.step.function, "func", call.step.function)  # functools.partial
    code = getattr(function, "__code__", None)
    if code is None or ASKING.isdisjoint(code.co_names):
        return None
    for each in _named(call, function, code.co_names):
        for kind in type(each).__mro__:
            if kind.__name__ in BASES and kind.__module__.startswith(PACKAGES):
                return type(each).__name__
    return None


def _named(call: Call[Any], function: Any, names: tuple[str, ...]) -> Iterator[object]:  # noqa: ANN401 - any function
    """Give what the code of a function can name."""
    arguments = (*call.args, *call.kwargs.values())
    yield from arguments
    for argument in arguments:
        held = getattr(argument, "__dict__", None) or {}
        yield from [held[name] for name in names if name in held]
    there = getattr(function, "__globals__", {})
    yield from [there[name] for name in names if name in there]
    for cell in getattr(function, "__closure__", None) or ():
        try:
            yield cell.cell_contents
        except ValueError:  # it is not bound yet
            continue
