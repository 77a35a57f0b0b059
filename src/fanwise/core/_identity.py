"""The identity of a call: a key that is the same in every process, run and order of completion.

key = hash(parent's key, step, version, arguments, occurrence among equal calls of the same parent).
The occurrence is numbered when the call is made; the parent's attempt is not in it, so that a
retried or hedged parent takes over its finished children and joins those in flight.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from fanwise.core._canonical import digest_of
from fanwise.core._errors import IdentityClash, NotCanonical, NotDone, WriteRefused
from fanwise.core._scope import Attempt
from fanwise.core._watchers import CALL_TYPES, excuse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fanwise.core._call import Call
    from fanwise.core._scope import Scope
    from fanwise.core._step import Definition


def identified(call: Call[Any], here: Scope | Attempt) -> Call[Any]:
    """Give `call` its key, or give the equal call of an earlier attempt that need not run again."""
    try:
        base = request_digest(call.step, call.args, call.kwargs)
    except NotCanonical:
        if here.run.digests:
            raise
        if call.step.policy.effect == "write":
            excuse(call)
            msg = (
                f"{call.name} is a write under a step that may be retried or hedged, and an "
                "argument of it has no canonical form, so that it could be sent twice: "
                "say what counts with @step(key=...)"
            )
            raise WriteRefused(msg) from None
        return call
    parent = _parent_key(here)
    call.key = digest_of(parent, base, _occurrence(call, here, base))
    journal = here.run.journal
    if journal is not None:
        journal.made(call, here, parent)
    kept = here.kept
    if kept is None:
        return call  # only a journal asked for the key
    before = kept.get(call.key)
    if before is None or _may_run_again(before):
        kept[call.key] = call
        return call
    excuse(call)
    if before.id is not None and (before.facts or {}).get("ambiguous"):
        here.counts[base] -= 1  # type: ignore[index] # a second try is refused as this one is
        msg = (
            f"{call.name} is a write that an earlier attempt began and that ended "
            f"{before.status}: it may have happened. keyed=True says that its target "
            "honours the key"
        )
        raise WriteRefused(msg)
    return before


WORTH_KEEPING = frozenset({"new", "waiting", "starting", "running", "ok"})


def _may_run_again(before: Call[Any]) -> bool:
    """Say whether an equal call may run: this one was let go or failed, and is no write that began.

    A write that failed gives its failure again, unless that was `NotDone` or its target honours
    its key.
    """
    policy = before.step.policy
    repeats = policy.effect == "read" or policy.keyed
    if repeats and (before.taken or (before.step.streams and before.status == "new")):
        return True  # a stream's items go to one reader: another attempt's reads its own
    if not before.dropped and before.status in WORTH_KEEPING:
        return False
    if repeats or not before.attempts:
        return True
    return isinstance(before.error, NotDone)


def key_of(call: Call[Any]) -> bytes:
    """Give the key of a call, computed now where nothing asked for it when the call was made."""
    if call.key is None:
        outside = call.home is None and call.id is not None  # made before its run was there
        parent = call.run.id.encode() if outside else _parent_key(call.home)
        base = request_digest(call.step, call.args, call.kwargs)
        number = call.number
        if outside and call.run.journal is not None:
            number = call.run.journal.occurrence(base)
        call.key = digest_of(parent, base, number)
    return call.key


def request_digest(
    step: Definition[Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> bytes:
    """Give the digest of what a step is asked: its name, its version, the arguments as written.

    Equal for two calls that ask the same, wherever they are made. Raises `NotCanonical`, naming the
    argument, where one has no canonical form.
    """
    policy = step.policy
    if policy.key is not None:
        return digest_of(step.name, policy.version, policy.key(*args, **kwargs))
    named: dict[str, object] = dict(zip(step.parameters, args, strict=False))
    rest = list(args[len(step.parameters) :])
    parts: list[object] = [step.name, policy.version]
    for name, value in sorted({**named, **kwargs}.items()):
        parts += [name, _argument(step.name, name, value)]
    for value in rest:
        parts.append(_argument(step.name, "*args", value))
    return digest_of(*parts)


def _argument(step: str, name: str, value: object) -> bytes:
    if type(value) in CALL_TYPES:  # a bound call counts by its own key
        return key_of(value)  # type: ignore[arg-type]
    try:
        return digest_of(value)
    except NotCanonical as error:
        msg = f"{step}({name}=...): {error}; say what counts with @step(key=...)"
        raise NotCanonical(msg) from None


def _parent_key(here: Scope | Attempt | None) -> bytes:
    scope = here.scope if isinstance(here, Attempt) else here
    if scope is None:
        return b""
    if scope.call is None:
        return scope.run.id.encode()
    if scope.call.step.pattern:  # a pattern adds its place: its arguments are calls and functions
        call = scope.call
        above = _parent_key(call.home) if call.home is not None else scope.run.id.encode()
        return digest_of(above, call.plan_name, call.number)
    return key_of(scope.call)


def take_position(here: Scope, position: int) -> None:
    """Let the next call that is made in `here` have that number, wherever it stands in time.

    For patterns whose equal calls are made in the order of completion, as in `tree_reduce`.
    """
    if here.digests:
        if here.counts is None:
            here.counts = {}
        here.counts[POSITION] = here.counts[POSITIONS] = position


POSITIONS = ("positions",)
POSITION = ("position",)


def _occurrence(call: Call[Any], here: Scope | Attempt, base: bytes) -> int:
    counts = here.counts if here.counts is not None else {}
    here.counts = counts
    position = counts.pop(POSITION, None)
    if position is not None:
        return -1 - position  # which none has that is numbered as it comes
    number = counts.get(base, 0)
    counts[base] = number + 1
    by_pattern = here.call is not None and here.call.step.pattern  # which numbers by position
    if here.run.digests and not by_pattern:
        task = id(asyncio.current_task())
        if counts.setdefault((base, "task"), task) != task:
            excuse(call)
            msg = (
                f"equal calls of {call.step.name} were made from two tasks of one step, so that "
                "which is which depends on their order: tell them apart with @step(key=...), "
                "or put a step around each loop"
            )
            raise IdentityClash(msg)
    return number
