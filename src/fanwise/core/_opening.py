"""The beginning and the end of a run under a journal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fanwise.core import _registry
from fanwise.core._canonical import digest_of
from fanwise.core._entries import Head
from fanwise.core._errors import ProgramChanged
from fanwise.core._identity import request_digest
from fanwise.core._journal import WHOLE_RUN, RunJournal
from fanwise.core._watchers import excuse

if TYPE_CHECKING:
    from fanwise.core._call import Call
    from fanwise.core._protocols import Journal
    from fanwise.core._run import Run


def head_of(run: Run, call: Call[Any]) -> Head:
    """Give what is known of a run before it begins; raise `NotCanonical` as its main call's key."""
    step = call.step
    if step.pattern is None:
        request = request_digest(step, call.args, call.kwargs)
    else:
        request = digest_of(step.pattern, call.plan_name)
    return Head(run.id, call.plan_name, step.policy.version, request, run.seed)


async def opened(store: Journal, run: Run, call: Call[Any]) -> RunJournal:
    """Claim a run, whose main call is `call`; raise `ProgramChanged` where it is another's."""
    head = head_of(run, call)
    found = await store.begin(head)
    if found.head.request != head.request or found.head.step != head.step:
        same = found.head.step == head.step
        was = "with other arguments" if same else f"of {found.head.step}"
        store.end(found.number, "", None)
        raise ProgramChanged(
            f"run {run.id!r} is one {was}, and this call is of {head.step}: an id names one run"
        )
    return RunJournal(store, run, found)


async def run_journaled(store: Journal, run: Run, call: Call[Any]) -> Any:  # noqa: ANN401
    """Run `call` as a run of a journal, and give its value when that is kept."""
    try:
        run.journal = journal = await opened(store, run, call)
    except BaseException:
        excuse(call)
        raise
    run.seed = journal.head.seed
    try:
        if call.status == "new" and call.step.pattern is None:
            call.key = digest_of(run.id.encode(), head_of(run, call).request, 0)
            journal.made(call, run.root, WHOLE_RUN)
        value = await call
        journal.cut |= run.runtime.draining and call.step.pattern is not None
        journal.refuse_broken()
    except BaseException as error:
        journal.close(error)
        broken = journal.broken
        if broken is None or broken is error or not isinstance(error, Exception):
            raise
        raise broken.with_traceback(None) from error  # what the run asks, not who fell over it
    journal.close(None)
    return value


def opener(_address: str) -> object:
    """Give what runs a call under a journal."""
    _registry.load("codec", "result")
    return run_journaled
