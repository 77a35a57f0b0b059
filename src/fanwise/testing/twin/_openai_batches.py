"""OpenAI's batches: a file of requests in, a file of answers and one of errors out."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from fanwise.testing.twin._fields import Fields
from fanwise.testing.twin._http import Refused, Response, json_response
from fanwise.testing.twin._openai_files import listed
from fanwise.testing.twin._openai_lines import read_lines
from fanwise.testing.twin._openai_single import ENDPOINTS, answer_single
from fanwise.testing.twin._reading import malformed, one_of
from fanwise.testing.twin._shelf import owned, page
from fanwise.testing.twin._values import compact

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fanwise.testing.twin._batches import BatchRequest, Job
    from fanwise.testing.twin._engine import Twin
    from fanwise.testing.twin._http import Request
    from fanwise.testing.twin._values import Json

_PREFIX: Final = "batch_"
_USAGE: Final = {
    "input_tokens": ("prompt_tokens",),
    "output_tokens": ("completion_tokens",),
    "total_tokens": (),
}
_OVER: Final = ("completed", "failed", "expired", "cancelled")
_GAPS: Final = {
    "expired": "This request could not be executed before the completion window expired.",
    "cancelled": "The batch was cancelled before this request executed.",
}


async def create(twin: Twin, request: Request) -> Response:
    """Take a batch; its file is checked at once, and what is wrong with it told a little later."""
    body = Fields(request.json())
    endpoint = one_of(body, "endpoint", tuple(ENDPOINTS))
    one_of(body, "completion_window", ("24h",))
    source = owned(twin.shelf.files, body.text("input_file_id"), request.key, "file")
    if source.purpose != "batch":
        raise malformed(f"its purpose is {source.purpose!r}, not 'batch'", "input_file_id")
    requests, errors = read_lines(source.content, endpoint)
    job = twin.shelf.open(twin, _PREFIX, () if errors else requests, request.key)
    job.told = {
        "endpoint": endpoint,
        "input_file_id": source.id,
        "metadata": body.get("metadata"),
        "model": requests[0].params.get("model") if requests else None,
        "errors": [error.write() for error in errors],
    }
    return _told(twin, job)


async def retrieve(twin: Twin, request: Request) -> Response:
    """Tell how far a batch is."""
    return _told(twin, await _worked(twin, request))


async def cancel(twin: Twin, request: Request) -> Response:
    """Stop a batch; what is answered by now stays answered, and charged."""
    job, now = await _worked(twin, request), twin.now()
    if (status := _status(job, now)) in _OVER:
        raise Refused(409, "invalid", f"Cannot cancel a batch with status '{status}'.")
    job.cancel(now)
    return _told(twin, job)


async def listing(twin: Twin, request: Request) -> Response:
    """List the batches of the caller, the newest first."""
    jobs = [job for job in twin.shelf.newest(_PREFIX) if job.key == request.key]
    found, more = page(jobs, request, after="after", most=100)
    for job in found:
        await _work(twin, job)
    return json_response(listed([_write(job, twin.now()) for job in found], more=more))


async def _worked(twin: Twin, request: Request) -> Job:
    job = owned(twin.shelf.jobs, request.params["id"], request.key, "batch")
    await _work(twin, job)
    return job


async def _work(twin: Twin, job: Job) -> None:
    async def answer(each: BatchRequest, done: float) -> Json:
        endpoint = job.told["endpoint"]
        status, body = await answer_single(twin, endpoint, each.params, job.key, done)
        number = twin.shelf.number()
        name = twin.name("req_", number)
        response = {"status_code": status, "request_id": name, "body": body}
        line = {"id": twin.name("batch_req_", number), "custom_id": each.custom_id}
        return {**line, "response": response, "error": None}

    await job.work(twin.now(), answer)
    if job.ended(twin.now()) and "output_file_id" not in job.told:
        _write_files(twin, job)


def _write_files(twin: Twin, job: Job) -> None:
    now = twin.now()
    lines = [job.results.get(at) or _gap(twin, job, at, now) for at in job.order]
    good = [line for line in lines if _good(line)]
    bad = [line for line in lines if not _good(line)]
    job.told["output_file_id"] = _keep(twin, job, "output", good)
    job.told["error_file_id"] = _keep(twin, job, "error", bad)


def _good(line: Json) -> bool:
    return line["error"] is None and line["response"]["status_code"] == 200


def _gap(twin: Twin, job: Job, index: int, now: float) -> Json:
    fate = job.fate(index, now)
    return {
        "id": twin.name("batch_req_", twin.shelf.number()),
        "custom_id": job.requests[index].custom_id,
        "response": None,
        "error": {"code": f"batch_{fate}", "message": _GAPS[fate]},
    }


def _keep(twin: Twin, job: Job, what: str, lines: Iterable[Json]) -> str | None:
    text = "".join(f"{compact(line)}\n" for line in lines)
    if not text:
        return None
    name = f"{job.id}_{what}.jsonl"
    return twin.shelf.keep(twin, name, "batch_output", text.encode(), job.key).id


def _told(twin: Twin, job: Job) -> Response:
    return json_response(_write(job, twin.now()))


def _status(job: Job, now: float) -> str:
    if now < job.created + job.pace.closing and not job.was_cancelled():
        return "validating"
    if job.told["errors"]:
        return "failed"
    ended = job.ended(now)
    if job.was_cancelled():
        return "cancelled" if ended else "cancelling"
    if not ended:
        return "finalizing" if now >= min(job.last, job.stop) else "in_progress"
    return "completed" if job.last <= job.stop else "expired"


def _write(job: Job, now: float) -> Json:
    status, told = _status(job, now), dict(job.told)
    errors = told.pop("errors")
    shown = {"object": "list", "data": errors} if errors and status == "failed" else None
    failed = job.count("done", now) - sum(_good(line) for line in job.results.values())
    return {
        "id": job.id,
        "object": "batch",
        "completion_window": "24h",
        "status": status,
        "output_file_id": None,
        "error_file_id": None,
        **told,
        "errors": shown,
        "created_at": int(job.wall),
        "expires_at": int(job.at(job.created + job.pace.window)),
        **_times(job, now, status),
        "request_counts": {
            "total": len(job.requests),
            "completed": len(job.results) - failed,
            "failed": failed,
        },
        "usage": _usage(job) if job.ended(now) and job.results else None,
    }


def _usage(job: Job) -> Json:
    """Return the tokens of all answers, in the words of responses."""
    lines = [line["response"]["body"]["usage"] for line in job.results.values() if _good(line)]
    total = Counter[str]()
    for usage in lines:
        for name, others in _USAGE.items():
            total[name] += next((usage[other] for other in (name, *others) if other in usage), 0)
        details = usage.get("input_tokens_details") or usage.get("prompt_tokens_details") or {}
        total["cached"] += details.get("cached_tokens", 0)
    return {
        **{name: total[name] for name in _USAGE},
        "input_tokens_details": {"cached_tokens": total["cached"]},
        "output_tokens_details": {"reasoning_tokens": 0},
    }


def _times(job: Job, now: float, status: str) -> Json:
    """Return the instants that a batch has passed; None for the others."""
    checked = job.created + job.pace.closing
    begun = None if status in {"validating", "failed"} else checked
    stopped = min(job.last, job.stop)
    passed = {
        "in_progress_at": begun,
        "finalizing_at": stopped if begun is not None and now >= stopped else None,
        "cancelling_at": job.cancelled,
    }
    ends = dict.fromkeys(("completed", "failed", "expired", "cancelled"))
    if status in ends:
        ends[status] = checked if status == "failed" else job.ends
    passed |= {f"{name}_at": instant for name, instant in ends.items()}
    return {name: None if at is None else int(job.at(at)) for name, at in passed.items()}
