"""Vectors: in order, in batches of the provider's size, at once."""

import asyncio

import pytest

from fanwise import Retry, Runtime
from fanwise.models import Embedded, Embedder, Usage, embedder
from fanwise.testing import no_orphans, run_virtual


class Lengths:
    """Gives a text's length as its vector, after a second."""

    name = "fake:lengths"
    most = 3

    def __init__(self, fail=0, short=False):
        self.fail = fail
        self.short = short
        self.asked = []
        self.running = self.widest = self.cancelled = 0

    async def embed(self, texts, kind):
        self.asked.append((texts, kind))
        self.running += 1
        self.widest = max(self.widest, self.running)
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1
        if self.fail:
            self.fail -= 1
            raise ConnectionError("no route")
        vectors = tuple([float(len(text))] for text in texts)
        return Embedded(vectors[self.short :], Usage(len(texts), 0), self.name)


def recorded(call):
    async def main():
        async with no_orphans(), Runtime(seed=1) as runtime:
            run = runtime.start(call)
            try:
                found = await run.wait()
            except Exception as error:
                found = error
            return found, run.record().calls, asyncio.get_running_loop().time()

    return run_virtual(main())


@pytest.mark.parametrize(("number", "requests"), [(0, 0), (1, 1), (3, 1), (4, 2), (20, 7)])
def test_vectors_stand_in_the_order_of_their_texts(number, requests):
    provider = Lengths()
    found, rows, _ = recorded(Embedder(provider).embed("x" * n for n in range(number)))
    assert [vector[0] for vector in found.vectors] == list(range(number))
    assert found.usage == Usage(number, 0)
    assert len(provider.asked) == requests
    assert all(len(texts) <= 3 for texts, _ in provider.asked)
    told = [row.usage["tokens_in"] for row in rows if row.usage]
    assert (sum(told), len(told)) == (number, requests), "each request tells its own, once"


def test_requests_run_at_once_but_no_more_than_that():
    provider = Lengths()
    _, _, time = recorded(Embedder(provider, at_once=2).embed(["x"] * 15))
    assert (provider.widest, time) == (2, 3.0)


def test_a_policy_is_that_of_each_request():
    provider = Lengths(fail=1)
    patient = Embedder(provider, at_once=2).using(retry=Retry(attempts=2, shortest=1, longest=1))
    found, _, _ = recorded(patient.embed(["x"] * 6, kind="query"))
    assert len(found.vectors) == 6
    assert len(provider.asked) == 3
    assert {kind for _, kind in provider.asked} == {"query"}
    assert patient.at_once == 2


def test_a_request_that_fails_fails_it_all_and_lets_the_others_go():
    provider = Lengths(fail=1)
    found, _, _ = recorded(Embedder(provider, at_once=9).embed(["x"] * 9))
    assert isinstance(found, Exception)
    assert "no route" in str(found)


def test_too_few_vectors_are_a_failure():
    found, _, _ = recorded(Embedder(Lengths(short=True)).embed(["a", "b"]))
    assert isinstance(found, ValueError)
    assert str(found) == "fake:lengths gave 1 vectors for 2 texts"


def test_wrong_arguments_are_named():
    with pytest.raises(TypeError, match=r"embed takes several texts, such as embed\(\[text\]\)"):
        Embedder(Lengths()).embed("text")
    with pytest.raises(TypeError, match=r"takes an adapter.*got 'openai:x'; that of an address"):
        Embedder("openai:x")
    with pytest.raises(ValueError, match="at_once is at least 1, got 0"):
        Embedder(Lengths(), at_once=0)
    with pytest.raises(TypeError, match=r"embed takes several texts, such as .* got 5"):
        Embedder(Lengths()).embed(5)
    with pytest.raises(TypeError, match="embed takes texts, got 5 among them"):
        Embedder(Lengths()).embed(["a", 5])
    with pytest.raises(ValueError, match='kind is "document" or "query", got \'passage\''):
        Embedder(Lengths()).embed(["a"], kind="passage")
    with pytest.raises(TypeError, match=r"embedder\(address\) takes a text such as .* got None"):
        embedder(None)
    with pytest.raises(ValueError, match="embedder='nobody:x' is not known"):
        embedder("nobody:x")
    assert repr(Embedded(([1.0, 2.0],), Usage(1, 0), "m")) == "<1 vectors of 2 numbers by m>"
