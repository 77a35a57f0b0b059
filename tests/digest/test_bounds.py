"""Arity, time and need of a digest; the time is the virtual clock's."""

import asyncio

import pytest

from fanwise import Runtime
from fanwise.digest import Bounds, digest, limits, to_data, to_markdown
from fanwise.documents import Memory
from fanwise.models import Answer, Model, Quote, Usage, write_quotes
from fanwise.testing import run_virtual
from fanwise.text import sentences

FILES = {
    f"{name}.txt": f"The {name} grows well in warm soil.\n".encode()
    for name in ("tomato", "cabbage", "onion", "carrot")
}


class Slow:
    """Answers with every sentence after so many seconds, by the number of its prompt."""

    name = "test:slow"

    def __init__(self, *seconds):
        self.seconds = seconds
        self.prompts = []

    async def answer(self, request):
        prompt = request.asked
        self.prompts.append(prompt)
        number = len(self.prompts) - 1
        await asyncio.sleep(self.seconds[min(number, len(self.seconds) - 1)])
        found = [
            Quote(n, passage.text[s.start : s.end])
            for n, passage in enumerate(prompt.passages, 1)
            for s in sentences(passage.text, passage.markup)
        ]
        text = write_quotes(found)
        return Answer(text, Usage(1, 1, estimated=True), self.name, text)


def made(model, bounds, at_once=8, files=FILES):
    async def whole():
        async with Runtime(limits=limits(at_once)) as runtime:
            job = digest(["."], "t", by=Model(model), bounds=bounds, library=Memory(files))
            run = runtime.start(job)
            found = await run.wait()
            return found, asyncio.get_running_loop().time(), run.record()

    return run_virtual(whole())


def reasons(found):
    return {gap.name: gap.reason for gap in found.part.missing}


def test_the_arity_is_that_of_the_merges():
    text = "\n\n".join(f"Sentence number {n} stands here alone." for n in range(16))
    for arity, merges in ((2, 8 + 4 + 2 + 1), (4, 4 + 1), (16, 1)):
        model = Slow(0)
        bounds = Bounds(arity=arity, size_tokens=10)
        found, _, _ = made(model, bounds, files={"x.txt": text.encode()})
        assert found.part.chunks == 16
        assert found.part.asked == len(model.prompts) == 16 + merges + 1, (
            "one more for the document"
        )


def test_when_the_time_is_up_what_is_there_is_given():
    found, time, _ = made(Slow(1, 1, 100), Bounds(within=5))
    assert time == 5
    assert found.part.answered == 2
    assert len(found.part.statements) == 2, "merged without asking"
    assert not found.complete
    assert found.enough
    assert set(reasons(found).values()) == {"not read, the time was up"}
    assert len(reasons(found)) == 2


def test_no_question_is_asked_after_the_time():
    model = Slow(3)
    found, time, _ = made(model, Bounds(within=5), at_once=1)
    assert time == 5
    assert len(model.prompts) == 2
    assert found.part.answered == 1
    assert len(found.part.missing) == 3


def test_a_merge_that_would_take_too_long_is_not_waited_for():
    found, time, _ = made(Slow(1, 1, 1, 1, 100), Bounds(within=5, most=3))
    assert time == 5
    assert len(found.part.statements) == 3
    assert found.part.answered == 4
    assert reasons(found) == {"merge": "not done, statements taken in turn"}


def test_a_merge_that_would_choose_nothing_is_not_missed():
    found, _, _ = made(Slow(1, 1, 1, 1, 100), Bounds(within=5, most=4))
    assert len(found.part.statements) == 4
    assert found.complete


def test_no_time_starts_nothing():
    model = Slow(0)
    found, time, _ = made(model, Bounds(within=0))
    assert (time, model.prompts, found.part.documents) == (0, [], 0)
    assert len(found.part.missing) == 4


def test_enough_time_changes_nothing():
    found, _, _ = made(Slow(1), Bounds(within=100))
    assert found == made(Slow(1), Bounds())[0]
    assert found.complete


@pytest.mark.parametrize(
    ("need", "needed", "enough"),
    [(1, 1, True), (3, 3, True), (4, 4, False), (9, 9, False), ("50%", 3, True), ("61%", 4, False),
     ("all", 5, False), (0, 0, True)],
)  # fmt: skip
def test_need_counts_the_documents_that_were_found(need, needed, enough):
    files = dict(FILES)
    files["onion.txt"] = b"\0"
    files["empty.md"] = b""
    found, _, _ = made(Slow(0), Bounds(need=need), files=files)
    assert (found.found, found.part.digested) == (5, 3)
    assert (found.needed, found.enough) == (needed, enough)
    data = to_data(found)
    assert (data["enough"], data["documents_needed"], data["documents_found"]) == (
        enough,
        needed,
        5,
    )
    assert ("**Too little:" in to_markdown(found)) is not enough


def test_a_document_whose_chunks_all_fail_does_not_count():
    class Failing(Slow):
        async def answer(self, request):
            if "tomato" in request.asked.passages[0].text:
                raise ConnectionError("no route")
            return await super().answer(request)

    found, _, _ = made(Failing(0), Bounds(need="all"))
    assert (found.part.documents, found.part.digested, found.enough) == (4, 3, False)
    assert reasons(found) == {"tomato.txt:0-35": "ConnectionError: no route"}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"most": 0}, "most=0 is too small; it must be at least 1"),
        ({"size_tokens": 0}, "size_tokens=0 is too small; it must be at least 1"),
        ({"arity": 1}, "arity=1 is too small; it must be at least 2"),
        ({"within": -1.0}, "within=-1.0 is no length of time"),
        ({"within": float("nan")}, "within=nan is no length of time"),
        ({"need": -1}, "need is at least 0, got -1"),
        ({"need": "many"}, 'need is a count, "all" or a share such as "80%", got \'many\''),
    ],
)
def test_wrong_shapes_are_named(wrong, message):
    with pytest.raises(ValueError, match=message.replace("(", "\\(")):
        Bounds(**wrong)
