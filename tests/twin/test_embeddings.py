"""Embeddings: the same everywhere, of length one, near where words are shared."""

import math

import openai
import pytest

from fanwise.testing.twin import Law, Price, Twin
from fanwise.testing.twin._openai_embeddings import embed
from tests.twin.talk import now, openai_on


def near(one, other):
    return sum(a * b for a, b in zip(one, other, strict=True))


async def test_texts_that_share_words_lie_near_and_others_do_not():
    twin = Twin({"e": Law(first=0.25)}, prices={"e": Price("0.02", "0")})
    texts = ["The cat sat on the mat.", "A cat is sitting on a mat", "Quarterly revenue rose 4%"]
    async with openai_on(twin) as client:
        found = await client.embeddings.create(model="e", input=texts)
        assert now() == pytest.approx(0.25)
    first, second, third = (each.embedding for each in found.data)
    assert near(first, second) > 0.3
    assert abs(near(first, third)) < 0.1
    assert [each.index for each in found.data] == [0, 1, 2]
    assert all(math.isclose(near(v, v), 1, abs_tol=1e-5) for v in (first, second, third))
    assert found.usage.prompt_tokens == twin.ledger[0].counts.tokens_in == 6 + 7 + 7
    assert twin.ledger[0].counts.tokens_out == 0


async def test_the_clients_packed_form_and_the_plain_one_say_the_same():
    async with openai_on(Twin()) as client:
        packed = await client.embeddings.create(model="e", input="a text", dimensions=32)
        plain = await client.embeddings.create(
            model="e", input="a text", dimensions=32, encoding_format="float"
        )
    assert packed.data[0].embedding == pytest.approx(plain.data[0].embedding, abs=1e-6)
    assert plain.data[0].embedding == embed("a text", 32)
    assert len(plain.data[0].embedding) == 32


@pytest.mark.parametrize("given", ["", [], ["x", ""], 7, ["x"] * 2049])
async def test_inputs_that_are_none_are_refused(given):
    async with openai_on(Twin()) as client:
        with pytest.raises(openai.BadRequestError, match="input"):
            await client.embeddings.create(model="e", input=given)


async def test_tokens_are_taken_too_and_a_text_without_words():
    async with openai_on(Twin()) as client:
        found = await client.embeddings.create(model="e", input=[[1, 2], [1, 2], [3]])
        assert found.data[0].embedding == found.data[1].embedding != found.data[2].embedding
        assert (await client.embeddings.create(model="e", input="...")).data[0].embedding[0] == 1
