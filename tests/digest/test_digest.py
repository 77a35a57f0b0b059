"""The job over documents in memory: lineage, gaps, models that fail or lie."""

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fanwise import Runtime, run
from fanwise.digest import Bounds, digest, limits, to_data, to_markdown
from fanwise.documents import Memory, Reason
from fanwise.models import Answer, Model, Quote, Usage, write_quotes
from fanwise.text import sentences

FILES = {
    "a.md": b"# Tomatoes\n\nTomatoes need much sun and a\nwarm soil to grow. Water them early in the day.\n",
    "b/c.md": (
        b"# Cabbage\n\n## Soil\n\nCabbage grows well in cold and heavy soil.\r\n\r\n## Frost\n\n"
        b"The first frost of the year does no harm to it. It tastes better after the frost.\n"
    ),
    "d.txt": b"A compost heap turns leaves and straw into food for plants.\n",
}
BAD = {
    "bad/empty.md": b"",
    "bad/random.md": bytes(range(256)) * 4,
    "bad/latin.md": b"pat\xe9",
    "bad/gone.md": None,
}


class Echo:
    """Answers with every sentence of every passage, the last first."""

    name = "test:echo"

    def __init__(self, spoil=lambda prompt, answer: answer):
        self.spoil = spoil
        self.prompts = []
        self.busy = self.most = 0

    async def answer(self, request):
        prompt = request.asked
        self.prompts.append(prompt)
        self.busy += 1
        self.most = max(self.most, self.busy)
        await asyncio.sleep(0)
        self.busy -= 1
        found = [
            Quote(n, passage.text[s.start : s.end])
            for n, passage in enumerate(prompt.passages, 1)
            for s in sentences(passage.text, passage.markup)
            if s.kind == "paragraph"
        ]
        text = self.spoil(prompt, write_quotes(reversed(found)))
        return Answer(text, Usage(len(prompt.passages), 1, estimated=True), self.name, text)


def made(files=FILES, places=(".",), task="Summarise", broken=None, **more):
    library = Memory(files, broken=broken or {})
    return run(digest(places, task, library=library, **more))


def sourced(found, files):
    """Check that the characters at each place are the statement's."""
    for statement in found.part.statements:
        assert files[statement.source].decode()[statement.start : statement.end] == statement.text
    return [" ".join(s.text.split()) for s in found.part.statements]


def test_every_statement_is_the_text_at_its_place():
    found = made(bounds=Bounds(size_tokens=20))
    texts = sourced(found, FILES)
    assert "Tomatoes need much sun and a warm soil to grow." in texts
    assert found.complete
    assert (found.part.documents, found.part.chunks) == (3, found.part.answered)
    headings = {s.text: s.heading for s in found.part.statements}
    assert headings["Cabbage grows well in cold and heavy soil."] == ("Cabbage", "Soil")


def test_a_statement_over_indented_lines_stays_whole_through_the_merges():
    files = {
        "x.rst": b"Title\n=====\n\n* The\n  lock became the bottleneck of the whole program. Note:\n"
        b"  it held all threads back for a long time.\n"
    }
    texts = sourced(made(files), files)
    assert "The lock became the bottleneck of the whole program." in texts


def test_two_tasks_give_two_digests():
    first = made(task="What does frost do?")
    second = made(task="What is compost?")
    assert [s.source for s in second.part.statements] == ["d.txt"]
    assert {s.source for s in first.part.statements} == {"b/c.md"}


def test_it_is_the_same_whatever_runs_at_once():
    wide = made(bounds=Bounds(size_tokens=10))
    assert wide == made(bounds=Bounds(size_tokens=10))

    async def narrow():
        async with Runtime(limits=limits(1)) as runtime:
            call = digest(["."], "Summarise", library=Memory(FILES), bounds=Bounds(size_tokens=10))
            return await runtime.run(call)

    assert asyncio.run(narrow()) == wide


def test_the_limits_hold_and_the_tree_has_the_calls_of_its_arity():
    text = "\n\n".join(f"Sentence number {n} stands here alone." for n in range(100))
    echo = Echo()

    async def limited():
        async with Runtime(limits=limits(3)) as runtime:
            call = digest(
                ["x.txt"],
                "t",
                by=Model(echo),
                library=Memory({"x.txt": text.encode()}),
                bounds=Bounds(size_tokens=10),
            )
            return await runtime.run(call)

    found = asyncio.run(limited())
    assert found.part.chunks == 100
    assert echo.most <= 3
    assert found.part.asked == len(echo.prompts) == 100 + 10 + 1 + 1
    assert len(found.part.statements) == 12


def test_gaps_are_named_and_the_digest_is_incomplete():
    files = FILES | {k: v for k, v in BAD.items() if v is not None}
    found = made(files, broken={"bad/gone.md": Reason.DANGLING_LINK})
    assert not found.complete
    assert {gap.name: gap.reason.split(" (")[0] for gap in found.part.missing} == {
        "bad/empty.md": "empty",
        "bad/random.md": "binary",
        "bad/latin.md": "not UTF-8",
        "bad/gone.md": "dangling link",
    }
    assert found.part.statements == made().part.statements
    page = to_markdown(found)
    assert "**Incomplete: 4 parts missing, named below.**" in page
    assert "`bad/latin.md`: not UTF-8 (byte 0xe9 at offset 3)" in page


def test_no_documents_at_all():
    found = made({}, places=("none.md",))
    assert found.part.documents == 0
    assert [gap.name for gap in found.part.missing] == ["none.md"]
    assert "No document could be read." in to_markdown(found)


def test_a_subject_that_is_nowhere_is_said():
    found = made(task="What is the capital of France?")
    assert found.complete
    assert found.part.statements == ()
    assert "No sentence of these documents fits the task." in to_markdown(found)


def test_lines_that_stand_in_no_passage_are_dropped_and_counted():
    def lie(prompt, answer):
        return f"Sure!\n[1] This was never written.\n[99] Nor this.\n{answer}\n[0] Nor this."

    found = made(by=Model(Echo(lie)))
    sourced(found, FILES)
    assert found.part.statements
    assert found.part.dropped == 4 * found.part.asked
    assert to_data(found)["lines_dropped"] == found.part.dropped


def test_a_model_that_fails_for_a_chunk_leaves_a_named_gap():
    def fail(prompt, answer):
        if any("Cabbage grows" in p.text for p in prompt.passages) and len(prompt.passages) == 1:
            raise ConnectionError("no route")
        return answer

    found = made(by=Model(Echo(fail)), bounds=Bounds(size_tokens=20))
    sourced(found, FILES)
    assert not found.complete
    assert {s.source for s in found.part.statements} == {"a.md", "b/c.md", "d.txt"}
    (gap,) = found.part.missing
    assert gap.name.startswith("b/c.md:")
    assert gap.reason == "ConnectionError: no route"
    assert found.part.answered == found.part.chunks - 1


def test_a_model_that_fails_at_every_merge_still_hands_over_what_is_there():
    def fail(prompt, answer):
        if len(prompt.passages) > 1:
            raise ConnectionError("no route")
        return answer

    found = made(by=Model(Echo(fail)), bounds=Bounds(size_tokens=20))
    sourced(found, FILES)
    assert not found.complete
    assert {s.source for s in found.part.statements} == {"a.md", "b/c.md", "d.txt"}


def test_a_merge_that_fails_below_the_root_loses_no_statement():
    def fail(prompt, answer):
        if len(prompt.passages) > 1 and "number 0 stands" in prompt.passages[0].text:
            raise ConnectionError("no route")
        return answer

    text = "\n\n".join(f"Sentence number {n} stands here alone." for n in range(100))
    found = made(
        {"x.txt": text.encode()}, by=Model(Echo(fail)), bounds=Bounds(size_tokens=10, most=100)
    )
    assert len(found.part.statements) == 100
    assert all(gap.name.startswith("merge below x.txt") for gap in found.part.missing)
    assert not found.complete


def test_a_model_that_always_fails():
    def fail(prompt, answer):
        raise ConnectionError("no route")

    found = made(by=Model(Echo(fail)))
    assert found.part.statements == ()
    assert {gap.name.split(":")[0] for gap in found.part.missing} >= {"a.md", "b/c.md", "d.txt"}


def test_drained_it_hands_over_what_is_there():
    async def drained():
        async with Runtime(limits=limits(1)) as runtime:

            def stop(prompt, answer):
                if "compost" in prompt.passages[0].text:
                    return answer
                runtime.drain()
                return answer

            call = digest(
                ["d.txt", "a.md", "b/c.md"], "t", by=Model(Echo(stop)), library=Memory(FILES)
            )
            return await runtime.run(call)

    found = asyncio.run(drained())
    sourced(found, FILES)
    assert not found.complete
    assert found.part.statements
    assert any("told to stop" in gap.reason for gap in found.part.missing)


def test_usage_is_added_up_and_recorded():
    async def recorded():
        async with Runtime(limits=limits()) as runtime:
            run = runtime.start(digest(["."], "t", by=Model(Echo()), library=Memory(FILES)))
            return await run.wait(), run.record()

    found, record = asyncio.run(recorded())
    assert found.part.usage.estimated
    assert found.part.usage.tokens_in == sum(r.usage.get("tokens_in", 0) for r in record.calls)
    assert {row.step for row in record.calls} >= {"find", "read", "cut", "quote", "merge"}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"task": " "}, 'task="" is empty'),
        ({"by": "nobody"}, "model='nobody' is not known"),
    ],
)
def test_wrong_arguments_are_named(more, message):
    with pytest.raises(ValueError, match=message):
        digest(["."], **({"task": "t"} | more))


def test_the_page_is_wrapped_and_grouped():
    page = to_markdown(made(task="Summarise"))
    assert page.startswith(
        "# Summarise\n\n*Extractive: quoted by local:extractive from 3 documents"
    )
    assert "## Tomatoes\n\n- Tomatoes need much sun and a warm soil to grow.\n  `a.md:12-" in page
    assert all(len(line) <= 80 for line in page.splitlines())
    alone = to_markdown(made(places=("b/c.md",)))
    assert "## Soil" in alone
    assert "## Frost" in alone


DOCUMENTS = st.dictionaries(
    st.sampled_from(["a.md", "b.rst", "c.txt", "d/e.md"]),
    st.lists(
        st.sampled_from(["The sun warms the soil of the garden.", "# Head", "Rain\nfalls on cabbage fields.",
                         "", "- An item of a list stands here.", "```", "x" * 90, "é\r\n", "\x00", "e.g. this"])
    ).map(lambda lines: "\n".join(lines).encode()),
    max_size=4,
)  # fmt: skip


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=60)
@given(DOCUMENTS, st.integers(1, 40), st.integers(1, 5))
def test_every_document_is_accounted_for(files, size, most):
    found = made(files, places=tuple(files) or (".",), bounds=Bounds(size_tokens=size, most=most))
    sourced(found, files)
    assert len(found.part.statements) <= most
    assert found.part.answered == found.part.chunks
    assert found.part.documents + len(found.part.missing) == max(1, len(files))
