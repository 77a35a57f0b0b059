"""Writes that a run had begun when it ended: nobody knows whether they happened.

One whose target honours the key is sent again under the same key, one with `verify=` is asked for
(nothing of that is kept: the world is asked anew each time), and of any other somebody outside must
say. Nothing is guessed.
"""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any, cast

from fanwise.core._canonical import digest_of
from fanwise.core._entries import Kind
from fanwise.core._errors import NotCanonical, NotDone, ProgramChanged, Unresolved
from fanwise.core._record import note

if TYPE_CHECKING:
    from collections.abc import Callable

    from fanwise.core._call import Call
    from fanwise.core._entries import Entry
    from fanwise.core._journal import RunJournal


async def resolve(
    journal: RunJournal, call: Call[Any], found: Entry, why: str
) -> tuple[Any] | None:
    """Find out whether a write happened: give its result, or `None` where it is to be done.

    Raises `Unresolved` where only somebody outside can say, `ProgramChanged` where its target would
    take it for another.
    """
    if call.policy.keyed:
        digest = digest_of_arguments(call)
        if found.kind == Kind.INTENT and found.data and digest not in (b"", found.data):
            raise ProgramChanged(
                f"{call.name} was begun with other arguments under the same key= when run "
                f"{call.run.id!r} was made: its target would take this one for that"
            )
        note(call, repeated=True)
        return None
    if call.policy.verify is None:
        raise unresolved(call, found, why)
    journal.aside.add(found.key)
    try:
        value = await verified(call)
    except NotDone:
        note(call, verified=False)
        return None
    except Exception as error:
        raise unresolved(call, found, f"{why}, and verify= failed") from error
    finally:
        journal.aside.discard(found.key)
    note(call, verified=True)
    return (await journal.keep(call, found.key, value),)


async def verified(call: Call[Any]) -> Any:  # noqa: ANN401 - the write's value
    """Ask what the step says that tells of its writes; raise `NotDone` as that does."""
    verify = cast("Callable[..., Any]", call.policy.verify)
    if inspect.iscoroutinefunction(verify) or call.run.runtime.threads is None:
        found = verify(*call.args, **call.kwargs)
    else:
        found = await asyncio.to_thread(verify, *call.args, **call.kwargs)
    return await found if inspect.isawaitable(found) else found


def unresolved(call: Call[Any], found: Entry, why: str) -> Unresolved:
    """Make the error that asks somebody outside."""
    run, key = call.run.id, found.key.hex()
    msg = (
        f"{call.name} is a write, and run {run!r} {why}: it may or may not have happened. Find "
        f"out, then say so: fanwise runs resolve {run} {key} --done (with its --result, where "
        "that is not None) or --not-done. A step with verify= or keyed=True needs nobody"
    )
    return Unresolved(msg, run, key)


def digest_of_arguments(call: Call[Any]) -> bytes:
    """Give the digest of the arguments themselves; empty where they have none but a `key=`."""
    try:
        return digest_of(list(call.args), dict(call.kwargs))
    except NotCanonical:
        return b""
