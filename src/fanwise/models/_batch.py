"""Many questions through a provider's batch API: answered within hours, at a lower price.

The job is: hand in, cut at the size of a batch; look whether the batches have ended, at growing
intervals; read their results, which come in any order, by custom id; and hand in once more what
expired. After each batch that was handed in, the job's handle says all that another process needs
to go on, so that nothing is handed in twice. Looks grow by half of the last wait, since what takes
hours need not be known to the second: at most a third of the whole is waited for in vain.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from fanwise.core import (
    DEADLINE,
    PREPAID,
    DeadlinePassed,
    FanIn,
    NotDone,
    NotEnough,
    Retry,
    StepTimedOut,
    add_wait,
    at_least,
    current_runtime,
    deadline,
    is_transient,
    made_by_caller,
    note,
    plain_function,
    reserve_ahead,
    step,
    waiting_call,
    whole,
)
from fanwise.models._answer import Answer
from fanwise.models._asking import fitted, note_served, priced, tell, valued
from fanwise.models._batch_handle import BatchHandle
from fanwise.models._batch_provider import BatchOutcome, BatchProvider, BatchResult, BatchStatus
from fanwise.models._chat import Asked, as_chat, as_questions
from fanwise.models._estimate import needed
from fanwise.models._output import codec_of, schema_of
from fanwise.models._provider import Provider, Request
from fanwise.patterns import check_quorum, count_of, fan_out

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from typing_extensions import TypeForm

    from fanwise.core import Call
    from fanwise.models._model import Model

T = TypeVar("T")

PATIENT = Retry(attempts=8, shortest=1.0, longest=60.0)
GROWTH = 1.5
TOO_MANY = 429  # the one status that says for certain that nothing was begun
SETTLED_AT_ONCE = 64
BLIND = 20  # looks in a row that may fail: an hour or more, as they are ever further apart

Unanswered = Literal["expired", "cancelled", "refused"]

log = logging.getLogger("fanwise")


class NotAnswered(Exception):
    """A batch ended without an answer to this request.

    `why` is "expired", "cancelled", or "refused" (the batch as a whole).
    """

    def __init__(self, why: Unanswered, more: str = "") -> None:
        """Keep the reason; `more` is what the provider said of the whole batch."""
        was = "expired" if why == "expired" else f"was {why}"
        super().__init__(f"the request {was} in its batch" + (f": {more}" if more else ""))
        self.why = why


@dataclass(frozen=True)
class BatchTerms:
    """How a batch job is handed in, looked after and left.

    `size` is the most requests in one batch of the provider's; `shortest` the seconds from the
    first look to the second, each further wait half as long again as the one before, up to
    `longest`; `again` how many more times a request that expired is handed in; `max_tokens` bounds
    each answer (`None`: the model's own bound). With `leave` the provider's batches go on when the
    job is cancelled or its time is over. `on_handle` is called with the job's handle whenever a
    batch was handed in, `print` for one.
    """

    size: int = 10_000
    shortest: float = 10.0
    longest: float = 300.0
    again: int = 1
    max_tokens: int | None = None
    leave: bool = False
    on_handle: Callable[[str], object] | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        whole("BatchTerms(size=)", self.size, 1)
        whole("BatchTerms(again=)", self.again, 0)
        at_least("BatchTerms(shortest=)", self.shortest, 0.001)
        at_least("BatchTerms(longest=)", self.longest, self.shortest)
        if self.max_tokens is not None:
            whole("BatchTerms(max_tokens=)", self.max_tokens, 1)
        if self.on_handle is not None:
            if not callable(self.on_handle):
                msg = f"BatchTerms(on_handle=) is a function of a text, got {self.on_handle!r}"
                raise TypeError(msg)
            plain_function("BatchTerms(on_handle=)", self.on_handle)


DEFAULT_TERMS = BatchTerms()


# What is asked of the provider: steps, so that plans, rehearsals and the record know them.


def _counts(provider: BatchProvider, asked: Mapping[str, Request] | str) -> object:
    if isinstance(asked, str):
        return provider.name, asked
    return provider.name, BatchHandle.of(list(asked.values()), 0).digest, list(asked)


@step(name="ask_batch/submit", effect="write", retry=PATIENT, timeout=600.0, key=_counts)
async def _submit(provider: BatchProvider, requests: Mapping[str, Request]) -> str:
    try:
        return await provider.submit(requests)
    except Exception as error:
        if getattr(error, "status_code", None) != TOO_MANY:
            raise
        raise NotDone(str(error)) from error


@step(name="ask_batch/status", timeout=60.0, key=_counts)
async def _status(provider: BatchProvider, handle: str) -> BatchStatus:
    return await provider.status(handle)


@step(name="ask_batch/results", retry=PATIENT, timeout=600.0, key=_counts)
async def _results(provider: BatchProvider, handle: str) -> list[BatchResult]:
    return [result async for result in provider.results(handle)]


@step(name="ask_batch/cancel", timeout=30.0, key=_counts)
async def _cancel(provider: BatchProvider, handle: str) -> None:
    await provider.cancel(handle)


class _Job:
    """One batch job: what was asked, what is handed in, what came back."""

    __slots__ = ("blind", "found", "handle", "late", "live", "provider", "requests", "terms",
                 "waited")  # fmt: skip

    def __init__(
        self,
        provider: BatchProvider,
        requests: Sequence[Request],
        terms: BatchTerms,
        handle: BatchHandle,
    ) -> None:
        self.provider = provider
        self.requests = requests
        self.terms = terms
        self.handle = handle
        self.found: dict[int, BatchOutcome] = {}
        self.live: dict[str, list[int]] = {}  # the provider's batches, and the places in each
        self.waited = 0.0
        self.blind = 0
        self.late = False  # its time was over before its end

    async def run(self) -> None:
        """Hand in, wait and read, until every request has an outcome that stays."""
        places = list(range(len(self.requests)))
        number = 0
        while places and number <= max(self.terms.again, len(self.handle.rounds) - 1):
            await self.hand_in(places, number)
            await self.read_all()
            places = [place for place in places if self.found.get(place, "expired") == "expired"]
            number += 1

    async def hand_in(self, places: list[int], number: int) -> None:
        """Hand in a round's requests, but for the batches that the handle has already."""
        if number == len(self.handle.rounds):
            self.handle.rounds.append([])
        known = self.handle.rounds[number]
        size = self.handle.size
        parts = [places[at : at + size] for at in range(0, len(places), size)]
        self.live = dict(zip(known, parts, strict=False))
        for part in parts[len(known) :]:
            batch = {f"request-{place}": self.requests[place] for place in part}
            one = await _submit(self.provider, batch)
            known.append(one)
            self.live[one] = part
            if self.terms.on_handle is not None:
                self.terms.on_handle(self.handle.text)

    async def read_all(self) -> None:
        """Read each batch that was handed in when it has ended, looking less and less often."""
        wait = self.terms.shortest
        while True:
            for one in list(self.live):
                status = await self.look(one)
                if status is not None and status.ended:
                    await self.read(one, status.why)
            if not self.live:
                return
            await asyncio.sleep(wait)
            self.waited += wait
            wait = min(self.terms.longest, GROWTH * wait)

    async def look(self, one: str) -> BatchStatus | None:
        """Look after a batch; a look that fails is no news, unless too many in a row do."""
        try:
            status = await _status(self.provider, one)
        except Exception as error:
            self.blind += 1
            if self.blind >= BLIND or not is_transient(error):
                raise
            return None
        self.blind = 0
        return status

    async def read(self, one: str, why: str) -> None:
        """Read what became of the requests of a batch, which was refused where `why` says so."""
        for result in await _results(self.provider, one):
            self.found[place_of(result.custom_id)] = result.outcome
        for place in self.live.pop(one):
            if why and place not in self.found:
                self.found[place] = NotAnswered("refused", why)

    async def stop(self) -> None:
        """Cancel at the provider what still runs there, unless it is to go on."""
        if self.terms.leave:
            return
        DEADLINE.set(None)  # what has passed bounds the work, not its end
        for one in self.live:
            try:
                await _cancel(self.provider, one)
            except Exception as error:  # noqa: BLE001 - the others are to be cancelled too
                log.warning("the batch %s may go on, cancelling it failed: %r", one, error)

    @property
    def lost(self) -> float:
        """The share of requests that may be paid for, and of which nothing is known."""
        open_still = sum(map(len, self.live.values())) if self.late else 0
        return open_still / max(1, len(self.requests))

    def outcome(self, place: int) -> BatchOutcome | Literal["timed out"]:
        """Give what became of a request."""
        found = self.found.get(place, "expired")
        return "timed out" if found == "expired" and self.late else found

    def __repr__(self) -> str:
        return f"<batch job of {len(self.requests)}, {len(self.live)} batches live>"


def place_of(custom_id: str) -> int:
    """Give the position that a custom id stands for."""
    return int(custom_id.removeprefix("request-"))


def _bound(request: Request, most: int) -> Request:
    return request if request.max_tokens is not None else replace(request, max_tokens=most)


# The settlement: each request becomes a call of its own, with its usage and its outcome.


@dataclass(frozen=True, slots=True)
class Order:
    """What `ask_batch` was asked, beside the questions."""

    need: int | str
    within: float | None
    output: TypeForm[object] | None
    handle: str | None
    terms: BatchTerms


class _Ended:
    """What became of one request. No data: estimates learn from what a call is asked only."""

    __slots__ = ("order", "outcome")

    def __init__(self, outcome: BatchOutcome | Literal["timed out"], order: Order) -> None:
        self.outcome = outcome
        self.order = order

    def __repr__(self) -> str:
        return f"<ended: {self.outcome!r}>"


def _asked_only(asked: Asked, *_: object) -> object:
    return as_chat(asked)


@step(name="ask_batch/answer", key=_asked_only, needs=PREPAID)
async def _answer(asked: Asked, ended: _Ended) -> Answer[Any]:  # noqa: ARG001 - its identity
    found, order = ended.outcome, ended.order
    if isinstance(found, Answer):
        tell(found.usage, found.model, found.finish, found.text, tier="batch")
        note_served(found.model, found.served)
        answer = await priced(found, tier="batch")
        if order.output is None:
            return answer
        value, wrong = fitted(codec_of(order.output), answer, order.terms.max_tokens)
        if wrong is not None:
            raise wrong
        return valued(answer, value)
    if isinstance(found, Exception):
        raise found
    if found == "timed out":
        call = waiting_call()
        msg = "the batch had not ended within its time"
        raise StepTimedOut(msg, -1 if call is None or call.id is None else call.id)
    raise NotAnswered(found)


def _order_counts(provider: BatchProvider, asked: tuple[Asked, ...], order: Order) -> object:
    return provider.name, tuple(map(as_chat, asked)), schema_of(order.output), order.handle


@step(name="ask_batch", key=_order_counts)
async def _ask_batch(
    provider: BatchProvider, asked: tuple[Asked, ...], order: Order
) -> FanIn[Answer[Any]]:
    current_runtime().expect_prices(provider.name)
    schema = schema_of(order.output)
    requests = [Request(each, (), schema, order.terms.max_tokens) for each in asked]
    if order.handle is None:
        handle = BatchHandle.of(requests, order.terms.size)
    else:
        handle = BatchHandle.read(order.handle)
        handle.check(requests)
    job = _Job(provider, requests, order.terms, handle)
    ahead = await reserve_ahead([needed(provider.name, each) for each in requests], "batch")
    if ahead is not None:
        job.requests = [_bound(each, ahead.most) for each in requests]
    lost = 1.0
    try:
        await _work(job, order.within)
        lost = job.lost
        ended = [_Ended(job.outcome(place), order) for place in range(len(asked))]
        calls = [_answer(each, known) for each, known in zip(asked, ended, strict=True)]
        found: FanIn[Answer[Any]] = await fan_out(*calls, need=0, at_once=SETTLED_AT_ONCE)
    finally:
        if ahead is not None:
            ahead.end(lost if any(job.handle.rounds) else 0.0)
    for outcome, each in zip(found.outcomes, asked, strict=True):
        outcome.item = each
    _judge(found, order.need)
    return found


async def _work(job: _Job, within: float | None) -> None:
    """Do the job; what is cut short is cancelled at the provider, or left there."""
    try:
        if within is None:
            await job.run()
        else:
            job.late = True
            with suppress(DeadlinePassed), deadline(within):
                await job.run()
                job.late = False
            await job.stop()
    except asyncio.CancelledError:
        await job.stop()
        raise
    except Exception as error:
        error.add_note(f"what was handed in goes on: ask_batch(..., handle={job.handle.text!r})")
        raise
    finally:
        call = waiting_call()
        if call is not None:
            note(call, batch=job.handle.text)
            add_wait(call, "batch", job.waited)


def _judge(found: FanIn[Answer[Any]], need: int | str) -> None:
    """Raise where too few were answered."""
    there = len(found.values())
    least = count_of("need", need, len(found))
    if there < least:
        first = next(outcome.error for outcome in found.outcomes if outcome.error is not None)
        counted = f"{there} of {len(found)} requests were answered, needed were {least}"
        msg = f"ask_batch: {counted}\n{found}"
        raise NotEnough(msg, found) from first


@overload
def ask_batch(
    model: Model, items: Iterable[Asked], *,
    need: int | str = ..., within: float | None = ..., handle: str | None = ...,
    terms: BatchTerms = ...,
) -> Call[FanIn[Answer[str]]]: ...  # fmt: skip
@overload
def ask_batch(
    model: Model, items: Iterable[Asked], *, output: TypeForm[T],
    need: int | str = ..., within: float | None = ..., handle: str | None = ...,
    terms: BatchTerms = ...,
) -> Call[FanIn[Answer[T]]]: ...  # fmt: skip
def ask_batch(
    model: Model,
    items: Iterable[Asked],
    *,
    output: TypeForm[object] | None = None,
    need: int | str = "all",
    within: float | None = None,
    handle: str | None = None,
    terms: BatchTerms = DEFAULT_TERMS,
) -> Call[FanIn[Answer[Any]]]:
    """Ask many questions through the provider's batch API; `Model.batch` is the same.

    For work that can wait for hours, at the provider's lower price; the answers stand in the order
    of the items. `BatchTerms(on_handle=print)`
    tells the job's handle: a line of text with which `handle=` goes on, in another process too,
    without handing anything in again. `need` is that of `fan_out`, judged at
    the end. After `within` seconds what is not answered is `timed_out`. Failures are outcomes;
    what expires is handed in again as `terms` say.

    Raises `NotEnough` below `need`. Cancelled, it cancels the provider's batches, unless
    `terms=BatchTerms(leave=True)`; what was answered before stays readable by the handle.
    """
    if not hasattr(model, "provider"):
        msg = f'model is a Model, such as model("anthropic:..."), got {model!r}'
        raise TypeError(msg)
    order = Order(need, within, output, handle, terms)
    return made_by_caller(order_batch(model.provider, items, order))


def order_batch(provider: Provider, items: Iterable[Asked], order: Order) -> Call[Any]:
    """Give the call of a batch job; raise, naming the argument, where it cannot be meant."""
    if not isinstance(provider, BatchProvider):
        at_once = "fan_out(*[model.ask(each) for each in items], at_once=8)"
        msg = f"{provider.name} has no batch API: {at_once} asks at once"
        raise TypeError(msg)
    asked = as_questions("items", items)
    check_quorum("need", order.need, len(asked))
    if order.within is not None:
        at_least("within", order.within, 0)
    if order.handle is not None:
        BatchHandle.read(order.handle)
    if not isinstance(order.terms, BatchTerms):
        msg = f"terms is a BatchTerms, such as BatchTerms(size=1000), got {order.terms!r}"
        raise TypeError(msg)
    schema_of(order.output)
    return _ask_batch(provider, asked, order)
