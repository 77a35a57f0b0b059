"""A question that is made and never asked warns with the line that made it, not with one of ours."""

import gc

import pytest

from fanwise.models import Embedder, Model, ask_all, ask_batch, ask_shared
from tests.models.test_batches import Hours
from tests.models.test_embedder import Lengths

MODEL = Model(Hours())
EMBEDDER = Embedder(Lengths())


def forget(make):
    make()
    gc.collect()


@pytest.mark.parametrize(
    "make",
    [
        lambda: MODEL.ask("Why?"),
        lambda: MODEL.stream("Why?"),
        lambda: MODEL.batch(["Why?"]),
        lambda: ask_batch(MODEL, ["Why?"]),
        lambda: ask_shared(MODEL, "A text.", ["Why?"]),
        lambda: ask_all(MODEL, ["Why?", "How?"]),
        lambda: EMBEDDER.embed(["one"]),
        lambda: EMBEDDER.embed(["one", "two", "three", "four"]),
    ],
)
def test_it_names_the_line_that_made_it(make):
    with pytest.warns(RuntimeWarning, match="was made and never awaited") as caught:
        forget(make)
    assert {warning.filename for warning in caught} == {__file__}
    assert {warning.lineno for warning in caught} == {make.__code__.co_firstlineno}
