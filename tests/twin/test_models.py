"""The list of models, in the form of the client that asks."""

import anthropic
import openai
import pytest

from fanwise.testing.twin import Law, Twin
from tests.twin.clients import clients


async def test_both_clients_list_the_models_that_are_named():
    async with clients(Twin({"small": Law(), "large": Law(), "*": Law()})) as by:
        names = [each.id async for each in by.openai.models.list()]
        assert names == [each.id async for each in by.anthropic.models.list()]
        one = await by.anthropic.models.retrieve("small")
        other = await by.openai.models.retrieve("anything")
    assert names == ["small", "large"]
    assert (one.type, one.display_name) == ("model", "small")
    assert other.object == "model"
    assert int(one.created_at.timestamp()) == pytest.approx(other.created, abs=2)


async def test_an_unknown_model_is_not_found_by_either():
    async with clients(Twin({"small": Law()})) as by:
        with pytest.raises(openai.NotFoundError) as first:
            await by.openai.models.retrieve("huge")
        with pytest.raises(anthropic.NotFoundError) as second:
            await by.anthropic.models.retrieve("huge")
    assert first.value.code == "model_not_found"
    assert second.value.body["error"]["type"] == "not_found_error"
