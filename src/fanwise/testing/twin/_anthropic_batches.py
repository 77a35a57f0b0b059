"""Anthropic's message batches: created whole, answered in any order, read as JSON lines."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from fanwise.testing.twin._anthropic_messages import read_message, write_message
from fanwise.testing.twin._batches import BatchRequest, Job, ask_in_batch
from fanwise.testing.twin._errors import error_body
from fanwise.testing.twin._fields import Fields
from fanwise.testing.twin._http import Refused, Response, json_response
from fanwise.testing.twin._reading import malformed, objects, read_json
from fanwise.testing.twin._shelf import owned, page
from fanwise.testing.twin._values import compact

if TYPE_CHECKING:
    from fanwise.testing.twin._batches import Fate
    from fanwise.testing.twin._engine import Twin
    from fanwise.testing.twin._http import Request
    from fanwise.testing.twin._values import Json

_CUSTOM_ID: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_MOST: Final = 100_000
_PREFIX: Final = "msgbatch_"


async def create(twin: Twin, request: Request) -> Response:
    """Take a batch; its requests are looked at when their time comes, as documented."""
    body = Fields(request.json())
    job = twin.shelf.open(twin, _PREFIX, _requests(body), request.key)
    return _told(twin, job, request)


def _requests(body: Fields) -> tuple[BatchRequest, ...]:
    found: dict[str, BatchRequest] = {}
    for each in objects(body, "requests"):
        name = each.text("custom_id")
        if not _CUSTOM_ID.fullmatch(name):
            msg = f"String should match pattern '^{_CUSTOM_ID.pattern}$'"
            raise malformed(msg, each.at("custom_id"))
        if name in found:
            raise malformed(f"Duplicate custom_id {name!r}", each.at("custom_id"))
        found[name] = BatchRequest(name, read_json(each, "params"))
    if not 1 <= len(found) <= _MOST:
        raise malformed(f"a batch has 1 to {_MOST} requests, not {len(found)}", "requests")
    return tuple(found.values())


async def retrieve(twin: Twin, request: Request) -> Response:
    """Tell how far a batch is."""
    return _told(twin, await _worked(twin, request), request)


async def cancel(twin: Twin, request: Request) -> Response:
    """Stop a batch; what is answered by now stays answered, and charged."""
    job = await _worked(twin, request)
    job.cancel(twin.now())
    return _told(twin, job, request)


async def delete(twin: Twin, request: Request) -> Response:
    """Forget a batch that has ended."""
    job = await _worked(twin, request)
    if not job.ended(twin.now()):
        raise Refused(400, "invalid", f"Batch {job.id} is still in progress: cancel it first")
    del twin.shelf.jobs[job.id]
    return json_response({"id": job.id, "type": "message_batch_deleted"})


async def results(twin: Twin, request: Request) -> Response:
    """Give a line for every request, in the order in which they were answered."""
    job, now = await _worked(twin, request), twin.now()
    if not job.ended(now):
        raise Refused(404, "missing", f"Batch {job.id} has no available results yet")
    lines = [
        compact({"custom_id": job.requests[at].custom_id, "result": _result(job, at, now)})
        for at in job.order
    ]
    return Response("".join(f"{line}\n" for line in lines).encode(), media="application/x-jsonl")


async def listing(twin: Twin, request: Request) -> Response:
    """List the batches of the caller, the newest first."""
    jobs = [job for job in twin.shelf.newest(_PREFIX) if job.key == request.key]
    for job in jobs:
        await _work(twin, job)
    found, more = page(jobs, request, after="after_id", most=1000)
    data = [_write(job, twin.now(), request) for job in found]
    ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]} if data else {}
    return json_response(
        {"data": data, "has_more": more, "first_id": None, "last_id": None, **ends}
    )


async def _worked(twin: Twin, request: Request) -> Job:
    job = owned(twin.shelf.jobs, request.params["id"], request.key, "message batch")
    await _work(twin, job)
    return job


async def _work(twin: Twin, job: Job) -> None:
    async def answer(each: BatchRequest, done: float) -> Json:
        try:
            ask = read_message(Fields(each.params))
            if ask.stream:
                raise malformed("streaming is not supported in batches", "stream")
            turn, reply = await ask_in_batch(twin, replace(ask, key=job.key), done)
        except Refused as refused:
            return {"type": "errored", "error": error_body(refused, "anthropic", "")}
        name = twin.name("msg_", turn.number)
        message = write_message(reply, id=name, model=ask.model, batch=True)
        return {"type": "succeeded", "message": message}

    await job.work(twin.now(), answer)


def _told(twin: Twin, job: Job, request: Request) -> Response:
    return json_response(_write(job, twin.now(), request))


def _write(job: Job, now: float, request: Request) -> Json:
    ended = job.ended(now)
    where = f"http://{request.headers.get('host', 'twin')}/v1/messages/batches/{job.id}/results"
    running = "canceling" if job.was_cancelled() else "in_progress"
    return {
        "id": job.id,
        "type": "message_batch",
        "processing_status": "ended" if ended else running,
        "request_counts": _counts(job, now),
        "created_at": _stamp(job.wall),
        "expires_at": _stamp(job.at(job.created + job.pace.window)),
        "ended_at": _stamp(job.at(job.ends)) if ended else None,
        "cancel_initiated_at": None if job.cancelled is None else _stamp(job.at(job.cancelled)),
        "archived_at": None,
        "results_url": where if ended else None,
    }


def _counts(job: Job, now: float) -> dict[str, int]:
    """Count the requests; all are processing until the whole batch has ended, as documented."""
    if not job.ended(now):
        empty = dict.fromkeys(("succeeded", "errored", "canceled", "expired"), 0)
        return {"processing": len(job.requests), **empty}
    kinds = [_result(job, at, now)["type"] for at in range(len(job.requests))]
    names = ("processing", "succeeded", "errored", "canceled", "expired")
    return {name: kinds.count(name) for name in names}


_GAPS: Final[dict[Fate, str]] = {"cancelled": "canceled", "expired": "expired"}


def _result(job: Job, index: int, now: float) -> Json:
    return job.results.get(index) or {"type": _GAPS[job.fate(index, now)]}


def _stamp(wall: float) -> str:
    return datetime.fromtimestamp(wall, UTC).isoformat().replace("+00:00", "Z")
