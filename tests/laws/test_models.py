"""Laws 1 and 13 for models: a question let go closes its connection once, and has a price."""

import asyncio
from contextlib import asynccontextmanager, suppress

from hypothesis import strategies as st

from fanwise import Runtime, deadline, step
from fanwise.errors import DeadlinePassed
from fanwise.models import (
    Counted,
    Ended,
    Model,
    Text,
    ToolBegun,
    ToolText,
    Usage,
    _asking,
)
from fanwise.testing import no_orphans, run_virtual
from tests.laws.proving import changed, holds, rejects
from tests.models.fakes import Scripted, Speaking

PIECES = st.lists(
    st.one_of(
        st.builds(Text, st.text("ab ", max_size=12)),
        st.builds(Counted, st.builds(Usage, st.integers(50, 60), st.integers(0, 3))),
    ),
    max_size=5,
)
TOOLS = st.sampled_from(
    [(), (ToolBegun(0, "a", "look"), ToolText(0, '{"at": 1'), ToolText(0, "}"))]
)
ENDS = st.sampled_from(
    [
        (Ended(Usage(7, 3), "stop", "fake:one"),),
        (Ended(None, "stop", "fake:one"),),
        (ConnectionError("reset"),),
        (),
    ]
)
ENOUGH = [Text("x")] * 8
LEAVES = st.integers(0, 12).map(lambda n: n + 0.5)


def usage_of(provider, leave, *, streams):
    """Ask for so many seconds, or read so many; give the row of the question."""

    async def main():
        async with no_orphans(), Runtime(seed=1) as runtime:

            @step
            async def asks():
                mine = Model(provider)
                with suppress(DeadlinePassed, ConnectionError), deadline(leave):
                    await (mine.stream("x" * 40) if streams else mine.ask("x" * 40))

            run = runtime.start(asks())
            await run.wait()
            (row,) = [row for row in run.record().calls if row.step == provider.name]
            return row

    return run_virtual(main())


def a_stream_is_closed_once_and_priced_once(pieces, tools, end, leave):
    provider = Speaking(*pieces, *tools, *end)
    row = usage_of(provider, leave, streams=True)
    script = [*pieces, *tools, *end]
    arrived = script[: int(leave)]
    assert provider.opened == provider.closed == 1
    assert row.usage.get("tokens_in", 0) > 0, "what was sent has a price"
    whole = [each.usage for each in arrived if isinstance(each, Ended) and each.usage]
    if whole:
        assert (row.usage["tokens_in"], row.usage["tokens_out"]) == (7, 3), "told once"
        assert "estimated" not in row.facts
    else:
        counted = [each.usage for each in arrived if isinstance(each, Counted)]
        assert row.usage["tokens_in"] == (counted[-1].tokens_in if counted else 10)
        assert row.facts["estimated"] is True


def a_stream_that_is_left_is_closed_before_its_reader_goes_on(pieces, take):
    provider = Speaking(Text("a "), *pieces, Text("never read"), *ENOUGH)

    async def main():
        async with no_orphans(), Runtime(seed=1):
            left = take
            async with Model(provider).stream("?") as stream:
                async for _ in stream:
                    await asyncio.sleep(3)  # the next piece is there, and waits to be taken
                    left -= 1
                    if left == 0:
                        break
            assert (provider.opened, provider.closed) == (1, 1)

    run_virtual(main())


def an_answer_let_go_is_cancelled_once_and_priced(seconds, leave):
    provider = Scripted("yes", seconds=seconds)
    row = usage_of(provider, leave, streams=False)
    if leave < seconds:
        assert (provider.begun, provider.cancelled) == (1, 1)
        assert (row.usage["tokens_in"], row.facts["estimated"]) == (10, True)
    else:
        assert (provider.begun, provider.cancelled) == (1, 0)
        assert (row.usage, row.facts.get("estimated")) == ({"tokens_in": 10, "tokens_out": 5}, None)


STREAM = (PIECES, TOOLS, ENDS, LEAVES)
TAKEN = st.integers(1, 5)
ANSWER = (st.integers(0, 9), LEAVES)


def test_a_stream_is_closed_once_and_priced_once():
    holds(a_stream_is_closed_once_and_priced_once, *STREAM)


def test_a_stream_that_is_left_is_closed_before_its_reader_goes_on():
    holds(a_stream_that_is_left_is_closed_before_its_reader_goes_on, PIECES, TAKEN)


def test_an_answer_let_go_is_cancelled_once_and_priced():
    holds(an_answer_let_go_is_cancelled_once_and_priced, *ANSWER)


@asynccontextmanager
async def left_open(stream):
    yield stream


def test_a_stream_that_is_left_open_is_found():
    law = a_stream_that_is_left_is_closed_before_its_reader_goes_on
    rejects(law, PIECES, TAKEN, mutant=changed((_asking, "aclosing", left_open)))


def test_silence_about_what_was_let_go_is_found():
    def silent(arriving, _request, _name):
        return arriving.usage or Usage(0, 0)

    law = a_stream_is_closed_once_and_priced_once
    rejects(
        law,
        *STREAM,
        mutant=changed((_asking, "_settled", silent)),
        broken=(AssertionError, KeyError),
    )


def test_a_price_that_is_told_twice_is_found():
    whole = _asking._settled

    def twice(arriving, request, name):
        whole(arriving, request, name)
        return whole(arriving, request, name)

    law = a_stream_is_closed_once_and_priced_once
    rejects(law, *STREAM, mutant=changed((_asking, "_settled", twice)))


def test_an_answer_let_go_in_silence_is_found():
    def silent(*_, **__):
        return None

    law = an_answer_let_go_is_cancelled_once_and_priced
    rejects(
        law, *ANSWER, mutant=changed((_asking, "tell", silent)), broken=(AssertionError, KeyError)
    )


def test_a_cancelled_answer_counted_as_nothing_is_found():
    def nothing(_began, _request):
        return Usage(0, 0)

    law = an_answer_let_go_is_cancelled_once_and_priced
    rejects(
        law,
        *ANSWER,
        mutant=changed((_asking, "used_until", nothing)),
        broken=(AssertionError, KeyError),
    )
