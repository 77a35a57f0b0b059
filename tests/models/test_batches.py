"""`ask_batch`: answers in order, whatever becomes of batches, looks, and the process itself."""

import asyncio
import random
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal

import pytest
from hypothesis import strategies as st
from openai._base_client import get_platform
from pydantic import BaseModel

from fanwise import NotEnough, Retry, Runtime, deadline, first, step
from fanwise.core import WriteRefused
from fanwise.models import (
    Answer,
    BatchProvider,
    BatchResult,
    BatchStatus,
    BatchTerms,
    Chat,
    MalformedAnswer,
    Message,
    Model,
    NotAnswered,
    Price,
    Usage,
    ask_batch,
)
from fanwise.models import _batch as batch_module
from fanwise.models._batch import _Job
from fanwise.models._batch_handle import BatchHandle
from fanwise.providers import anthropic, openai
from fanwise.providers._ai import _anthropic, _openai
from fanwise.testing.twin import BatchPace, Twin
from fanwise.testing.twin import Price as TwinPrice
from tests.laws.proving import ORDERS, changed, holds, rejects, virtually

get_platform()  # asks other programs, once
IMPORTED = (_anthropic, _openai)  # which a model would import in the loop, and so block it


def now():
    return asyncio.get_running_loop().time()


class Failed(Exception):
    """What a provider says of one request, or of a call."""

    def __init__(self, status_code):
        super().__init__(f"status {status_code}")
        self.status_code = status_code


@dataclass
class Batch:
    """A batch of the provider below."""

    requests: dict
    made: float
    ends: float
    cancelled: bool = False


class Hours:
    """A provider whose batches take an hour, give results in any order, and do as they are told.

    `fates` says by question what becomes of it, one fate for each time it is handed in: "ok",
    "expired", "missing", or a status; after the last it is "ok".
    """

    name = "fake:hours"

    def __init__(self, fates=(), lasts=3600.0, why=""):
        self.fates = {question: list(each) for question, each in dict(fates).items()}
        self.lasts = lasts
        self.why = why
        self.batches = {}
        self.looks = []
        self.trouble = []  # errors that the next submits raise

    async def answer(self, request):
        raise AssertionError("it was to be asked in a batch")

    async def pieces(self, request):
        raise AssertionError("it was to be asked in a batch")
        yield

    async def submit(self, requests):
        await asyncio.sleep(1)
        if self.trouble:
            raise self.trouble.pop(0)
        handle = f"batch,{len(self.batches)}"
        self.batches[handle] = Batch(dict(requests), now(), now() + self.lasts)
        return handle

    async def status(self, handle):
        batch = self.batches[handle]
        self.looks.append(now())
        ended = batch.cancelled or now() >= batch.ends
        return BatchStatus("ended" if ended else "running", len(batch.requests), why=self.why)

    async def results(self, handle):
        batch = self.batches[handle]
        found = []
        for custom_id, request in batch.requests.items():
            question = request.chat.messages[-1].text
            fates = self.fates.get(question, [])
            turn = fates and sum(
                question == other.chat.messages[-1].text
                for each in self.batches.values()
                if each.made < batch.made
                for other in each.requests.values()
            )
            fate = fates[turn] if fates and turn < len(fates) else "ok"
            found.append((custom_id, "cancelled" if batch.cancelled else fate, question))
        random.Random(handle).shuffle(found)
        for custom_id, fate, question in found:
            if fate == "ok":
                said = Answer(question.upper(), Usage(10, 2), self.name, question.upper())
                yield BatchResult(custom_id, said)
            elif fate != "missing":
                yield BatchResult(custom_id, Failed(fate) if isinstance(fate, int) else fate)

    async def cancel(self, handle):
        self.batches[handle].cancelled = True

    def handed_in(self):
        return [
            request.chat.messages[-1].text
            for batch in self.batches.values()
            for request in batch.requests.values()
        ]


LETTERS = list("abcdefghij")


async def test_answers_stand_in_the_order_of_the_items():
    provider = Hours()
    assert isinstance(provider, BatchProvider)
    async with Runtime() as runtime:
        found = await runtime.run(ask_batch(Model(provider), LETTERS))
        record = runtime.runs[-1].record()
    assert [answer.text for answer in found.values()] == [each.upper() for each in LETTERS]
    assert [outcome.item for outcome in found] == LETTERS
    rows = [row for row in record.calls if row.step == "ask_batch/answer"]
    assert [row.usage["tokens_in"] for row in rows] == [10] * 10
    (job,) = [row for row in record.calls if row.step == "ask_batch"]
    assert job.facts["batch"].startswith("fanwise-batch:1:10:10000:")
    assert job.waits["batch"] > 3_500_000_000


async def test_looks_are_ever_further_apart_and_exact():
    provider = Hours()
    async with Runtime() as runtime:
        await runtime.run(
            ask_batch(Model(provider), LETTERS, terms=BatchTerms(shortest=10, longest=600))
        )
    gaps = [
        later - before for before, later in zip(provider.looks, provider.looks[1:], strict=False)
    ]
    assert gaps[:4] == [10, 15, 22.5, 33.75]
    assert max(gaps) == 600
    assert len(provider.looks) == 16


async def test_what_is_above_the_size_of_a_batch_goes_into_several():
    provider = Hours()
    told = []
    terms = BatchTerms(size=4, on_handle=told.append)
    async with Runtime() as runtime:
        found = await runtime.run(ask_batch(Model(provider), LETTERS, terms=terms))
    assert [len(batch.requests) for batch in provider.batches.values()] == [4, 4, 2]
    assert len(told) == 3
    assert found.complete


async def test_failures_are_outcomes_and_what_expired_is_handed_in_once_more():
    provider = Hours(
        {
            "a": ["expired"],
            "b": ["expired", "expired", "expired"],
            "c": [400],
            "d": ["missing"],
            "e": ["cancelled"],
        }
    )
    async with Runtime() as runtime:
        found = await runtime.run(ask_batch(Model(provider), LETTERS, need=0))
    statuses = [o.status for o in found]
    assert statuses == ["ok", "failed", "failed", "ok", "failed", *["ok"] * 5]
    assert [found.outcomes[n].error.why for n in (1, 4)] == ["expired", "cancelled"]
    assert found.outcomes[2].error.status_code == 400
    assert sorted(provider.handed_in()) == sorted([*LETTERS, "a", "b", "d"])
    assert "was cancelled in its batch" in str(found)


async def test_need_is_judged_at_the_end_and_nothing_paid_for_is_lost():
    provider = Hours({"a": [400]})
    async with Runtime() as runtime:
        with pytest.raises(NotEnough, match="9 of 10 requests were answered, needed were 10"):
            await runtime.run(ask_batch(Model(provider), LETTERS))
        provider = Hours({"a": [400]})
        with pytest.raises(NotEnough) as caught:
            await runtime.run(ask_batch(Model(provider), LETTERS, need="95%"))
    assert len(caught.value.found.values()) == 9
    assert isinstance(caught.value.__cause__, Failed)


async def test_a_batch_that_is_refused_as_a_whole_is_not_handed_in_again():
    provider = Hours({"a": ["missing"], "b": ["missing"]}, why="the file is too large")
    async with Runtime() as runtime:
        found = await runtime.run(ask_batch(Model(provider), ["a", "b"], need=0))
    assert len(provider.batches) == 1
    assert [str(o.error) for o in found] == [
        "the request was refused in its batch: the file is too large"
    ] * 2


async def test_within_gives_what_is_there_and_cancels_the_rest():
    provider = Hours()
    async with Runtime() as runtime:
        found = await runtime.run(ask_batch(Model(provider), ["a"], need=0, within=100))
        assert now() == 100
        assert [o.status for o in found] == ["timed_out"]
        assert [each.cancelled for each in provider.batches.values()] == [True]
        none = await runtime.run(ask_batch(Model(provider), ["a"], need=0, within=0))
    assert [o.status for o in none] == ["timed_out"]
    assert len(provider.batches) == 1


@pytest.mark.parametrize("leave", [False, True])
async def test_cancelled_it_cancels_at_the_provider_unless_it_is_to_be_left(leave):
    provider = Hours()
    told = []
    terms = BatchTerms(size=4, leave=leave, on_handle=told.append)
    async with Runtime() as runtime:
        task = asyncio.ensure_future(runtime.run(ask_batch(Model(provider), LETTERS, terms=terms)))
        await asyncio.sleep(60)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert [each.cancelled for each in provider.batches.values()] == [not leave] * 3
        assert now() == 60
        found = await runtime.run(
            ask_batch(Model(provider), LETTERS, need=0, handle=told[-1], terms=terms)
        )
    assert len(provider.batches) == 3
    assert found.complete is leave


async def test_an_outer_deadline_cancels_at_the_provider_too():
    provider = Hours()
    async with Runtime() as runtime:
        with pytest.raises(TimeoutError), deadline(30):
            await runtime.run(ask_batch(Model(provider), LETTERS))
    assert [each.cancelled for each in provider.batches.values()] == [True]


async def test_a_cancel_that_fails_is_said_and_stops_no_other(caplog):
    class Refuses(Hours):
        async def cancel(self, handle):
            if handle == "batch,0":
                raise Failed(404)
            await super().cancel(handle)

    provider = Refuses()
    async with Runtime() as runtime:
        await runtime.run(
            ask_batch(Model(provider), LETTERS, need=0, within=60, terms=BatchTerms(size=5))
        )
    assert [each.cancelled for each in provider.batches.values()] == [False, True]
    assert "the batch batch,0 may go on" in caplog.text


async def test_a_submit_is_repeated_only_where_it_certainly_did_not_happen():
    provider = Hours()
    provider.trouble = [Failed(429), Failed(429)]
    told = []
    async with Runtime() as runtime:
        await runtime.run(ask_batch(Model(provider), ["a"]))
        assert len(provider.batches) == 1
        provider.trouble = [Failed(500)]
        with pytest.raises(Failed) as caught:
            await runtime.run(
                ask_batch(Model(provider), ["a"], terms=BatchTerms(on_handle=told.append))
            )
    assert any("handle='fanwise-batch:1:1:" in note for note in caught.value.__notes__)
    assert len(provider.batches) == 1


async def test_a_look_that_fails_is_repeated_and_the_batch_goes_on():
    class Shaky(Hours):
        async def status(self, handle):
            found = await super().status(handle)
            if len(self.looks) % 2:
                raise ConnectionError("gone")
            return found

    async with Runtime() as runtime:
        found = await runtime.run(ask_batch(Model(Shaky()), LETTERS))
    assert found.complete


async def test_looks_that_fail_for_good_end_the_job_and_leave_the_batch():
    class Gone(Hours):
        error = ConnectionError("gone")

        async def status(self, handle):
            self.looks.append(now())
            raise self.error

    provider = Gone()
    async with Runtime() as runtime:
        with pytest.raises(ConnectionError) as caught:
            await runtime.run(ask_batch(Model(provider), LETTERS))
        assert len(provider.looks) == 20
        assert "go" in caught.value.__notes__[0]
        provider.error = Failed(401)  # which does not pass
        with pytest.raises(Failed):
            await runtime.run(ask_batch(Model(provider), LETTERS))
        assert len(provider.looks) == 21
    assert not any(batch.cancelled for batch in provider.batches.values())


class Person(BaseModel):
    name: str


async def test_structured_answers_are_validated_one_by_one():
    class Writes(Hours):
        async def results(self, handle):
            for custom_id, request in self.batches[handle].requests.items():
                assert request.schema["title"] == "Person"
                text = '{"name": "Ada"}' if request.chat.messages[0].text == "a" else "Ada"
                yield BatchResult(custom_id, Answer(text, Usage(1, 1), self.name, text))

    async with Runtime() as runtime:
        asked = ask_batch(Model(Writes()), ["a", "b"], output=Person, need=1)
        found = await runtime.run(asked)
    assert found.outcomes[0].value.value == Person(name="Ada")
    assert isinstance(found.outcomes[1].error, MalformedAnswer)


async def test_nothing_is_handed_in_for_nothing():
    provider = Hours()
    async with Runtime() as runtime:
        found = await runtime.run(ask_batch(Model(provider), []))
    assert (found.complete, len(found), provider.batches) == (True, 0, {})


async def test_it_is_a_write_and_no_race_may_start_it():
    async with Runtime() as runtime:
        with pytest.raises(NotEnough) as caught:
            await runtime.run(first(ask_batch(Model(Hours()), ["a"])))
    assert isinstance(caught.value.__cause__, WriteRefused)


async def test_a_step_around_it_that_is_retried_takes_over_its_answers():
    provider = Hours()
    tries = []

    @step(retry=Retry(attempts=2, on=(KeyError,)))
    async def around():
        found = await ask_batch(Model(provider), ["a"])
        tries.append(found)
        if len(tries) == 1:
            raise KeyError("later")
        return found

    async with Runtime() as runtime:
        assert (await runtime.run(around())).complete
    assert len(provider.batches) == 1


async def test_a_handle_of_other_items_is_refused():
    provider = Hours()
    told = []
    async with Runtime() as runtime:
        await runtime.run(
            ask_batch(Model(provider), ["a"], terms=BatchTerms(on_handle=told.append))
        )
        with pytest.raises(ValueError, match="give the same items, in their order"):
            await runtime.run(ask_batch(Model(provider), ["b"], handle=told[0]))
    with pytest.raises(ValueError, match="handle is the text that on_handle was given"):
        ask_batch(Model(provider), ["a"], handle="batch_123")


def test_wrong_use_is_named():
    class NoBatches:
        name = "fake:plain"

        async def answer(self, request):
            """Answer nothing."""

        async def pieces(self, request):
            yield

    with pytest.raises(TypeError, match=r"fake:plain has no batch API: fan_out\("):
        ask_batch(Model(NoBatches()), ["a"])
    with pytest.raises(TypeError, match="model is a Model"):
        ask_batch("openai:gpt", ["a"])
    with pytest.raises(TypeError, match="items are each a str, a Prompt or a Chat, got 3"):
        ask_batch(Model(Hours()), ["a", 3])
    with pytest.raises(TypeError, match=r"items are several questions, .* got 'abc'"):
        ask_batch(Model(Hours()), "abc")
    with pytest.raises(ValueError, match="need=2 is above the number of branches, 1"):
        ask_batch(Model(Hours()), ["a"], need=2)
    with pytest.raises(TypeError, match=r"handle is the text that on_handle was given .* got 5"):
        ask_batch(Model(Hours()), ["a"], handle=5)
    with pytest.raises(TypeError, match=r"BatchTerms\(on_handle=\) is a function, .* got 5"):
        BatchTerms(on_handle=5)
    with pytest.raises(ValueError, match="within is at least 0"):
        ask_batch(Model(Hours()), [], within=-1)
    with pytest.raises(TypeError, match="terms is a BatchTerms"):
        ask_batch(Model(Hours()), [], terms={"size": 3})
    with pytest.raises(ValueError, match=r"BatchTerms\(size=\) is at least 1, got 0"):
        BatchTerms(size=0)
    with pytest.raises(ValueError, match=r"BatchTerms\(longest=\) is at least 10"):
        BatchTerms(longest=5)


def test_a_handle_survives_any_name_that_a_provider_gives():
    names = [["a,b", "c+d"], ["e:f %", "g/h"]]
    handle = BatchHandle(3, 7, "digest", names)
    assert BatchHandle.read(handle.text) == handle
    assert not set(handle.text) & set(" ;'\"$&|<>()`\\")
    assert BatchHandle.read(BatchHandle(0, 1, "d").text).rounds == []


FATE = st.sampled_from(["ok", "ok", "expired", "missing", "cancelled", 400])
FATES = st.lists(st.lists(FATE, max_size=3), min_size=1, max_size=7)


class Killed(BaseException):
    """The end of a process, as far as the job can see."""


def as_good_as_uninterrupted(fates, size, again, killed, order):
    """Whenever the process dies, its successor ends up as it would have, and pays for no more."""
    items = [f"item {n}" for n in range(len(fates))]
    by_item = dict(zip(items, fates, strict=True))

    def outcomes(found):
        return [(o.status, o.result and o.result.text, str(o.error), o.item) for o in found]

    def job(provider, handle, on_handle):
        terms = BatchTerms(size=size, again=again, on_handle=on_handle, leave=True)
        return ask_batch(Model(provider), items, need=0, handle=handle, terms=terms)

    async def whole(runtime):
        provider = Hours(by_item, lasts=100.0)
        found = await runtime.run(job(provider, None, None))
        return outcomes(found), provider.handed_in()

    expected, paid = virtually(whole, order=order)
    for item, (status, _, _, at) in zip(items, expected, strict=True):
        assert at == item
        stays = [fate for fate in by_item[item][: again + 1] if fate not in ("expired", "missing")]
        told = stays[0] if stays else "ok" if len(by_item[item]) <= again else "expired"
        assert (status == "ok") is (told == "ok")

    async def broken(runtime):
        provider = Hours(by_item, lasts=100.0)
        told = []

        def tell(handle):
            told.append(handle)
            if len(told) == killed:
                raise Killed

        with suppress(Killed):
            await runtime.run(job(provider, None, tell))
        killed_at = list(told)
        found = await runtime.run(job(provider, told[-1] if told else None, told.append))
        assert told[: len(killed_at)] == killed_at
        return outcomes(found), provider.handed_in()

    again_found, again_paid = virtually(broken, order=order)
    assert again_found == expected
    assert sorted(again_paid) == sorted(paid), "something was handed in twice"


PROGRAMS = (FATES, st.integers(1, 4), st.integers(0, 2), st.integers(1, 5), ORDERS)


def test_a_killed_job_goes_on():
    holds(as_good_as_uninterrupted, *PROGRAMS, examples=150)


def test_results_in_the_order_of_their_arrival():
    async def read(self, one, why):
        places = iter(self.live.pop(one))
        for result in await batch_module._results(self.provider, one):
            self.found[next(places)] = result.outcome

    rejects(as_good_as_uninterrupted, *PROGRAMS, mutant=changed((_Job, "read", read)))


def test_a_job_that_forgets_its_batches():
    rejects(
        as_good_as_uninterrupted,
        *PROGRAMS,
        mutant=changed((BatchHandle, "read", classmethod(lambda cls, text: handle_without(text)))),
    )


READ = BatchHandle.read


def handle_without(text):
    handle = READ(text)
    handle.rounds.clear()
    return handle


def test_a_job_that_never_hands_in_again():
    init = _Job.__init__

    def never(self, provider, requests, terms, handle):
        init(self, provider, requests, BatchTerms(again=0, on_handle=terms.on_handle), handle)

    rejects(as_good_as_uninterrupted, *PROGRAMS, mutant=changed((_Job, "__init__", never)))


@pytest.mark.parametrize(("make", "name"), [(anthropic, "claude-1"), (openai, "gpt-1")])
async def test_a_real_wire_in_any_order_at_half_the_price(make, name):
    """Against the twin, whose own ledger judges."""
    pace = BatchPace(first=600, each=60, window=900)
    twin = Twin(prices={"*": TwinPrice("3", "15")}, batches=pace)
    model = Model(make(name, http=twin.client(), key="k"))
    told = []
    terms = BatchTerms(size=5, again=3, on_handle=told.append)
    price = Price(input=3, output=15, batch="0.5")
    async with Runtime(prices={model.name: price}) as runtime:
        found = await runtime.run(ask_batch(model, LETTERS, terms=terms))
        record = runtime.runs[-1].record()
        live = await runtime.run(model.ask(Chat((Message("user", "a"),))))
    assert [answer.text for answer in found.values()] == LETTERS  # the twin says it back
    batched = [entry for entry in twin.ledger if entry.batch]
    assert len(batched) == 10
    assert len(told) == 2
    assert [batched[0].cost * 2] == [entry.cost for entry in twin.ledger if not entry.batch]
    assert live.text == "a"
    assert sum(answer.cost for answer in found.values()) == sum(each.cost for each in batched)
    rows = [row for row in record.calls if row.step == "ask_batch/answer"]
    assert sum(Decimal(row.facts["cost"]) for row in rows) == sum(each.cost for each in batched)


@pytest.mark.parametrize(("make", "name"), [(anthropic, "claude-1"), (openai, "gpt-1")])
async def test_a_real_wire_expires_and_cancels(make, name):
    twin = Twin(batches=BatchPace(first=600, each=60, window=650))
    model = Model(make(name, http=twin.client(), key="k"))
    async with Runtime() as runtime:
        found = await runtime.run(ask_batch(model, LETTERS[:3], need=0))
        assert sorted(o.status for o in found) == ["failed", "ok", "ok"]
        (error,) = [o.error for o in found if o.error is not None]
        assert isinstance(error, NotAnswered)
        task = asyncio.ensure_future(runtime.run(ask_batch(model, ["x", "y"])))
        await asyncio.sleep(30)
        task.cancel()
        await asyncio.wait([task])
    assert [job.was_cancelled() for job in twin.shelf.jobs.values()] == [False, False, True]


@pytest.mark.parametrize(("make", "name"), [(anthropic, "claude-1"), (openai, "gpt-1")])
async def test_a_real_wire_with_a_structured_answer(make, name):
    twin = Twin(answers="extract")
    model = Model(make(name, http=twin.client(), key="k"))
    async with Runtime() as runtime:
        found = await runtime.run(ask_batch(model, ["name: Ada", "name: Alan"], output=Person))
    assert all(isinstance(answer.value, Person) for answer in found.values())
