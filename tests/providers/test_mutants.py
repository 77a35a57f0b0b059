"""Adapters that break a promise: the tests above would see it."""

import asyncio

import pytest

from fanwise.models import Request
from fanwise.providers._ai import _adapter, _openai
from fanwise.providers._ai._reply import to_usage
from fanwise.testing import OrphansLeft, run_virtual
from tests.providers import test_adapters, test_failures


async def nothing(*_: object) -> None:
    """Do nothing in place of what a mutant leaves out."""


@pytest.mark.parametrize("left_out", ["break_off", "generators_closed"])
def test_a_stream_that_leaves_its_generators_to_the_collector_is_found(left_out, monkeypatch):
    monkeypatch.setattr(_adapter, left_out, nothing)
    name = "openai"
    test = (
        test_failures.test_a_stream_that_is_left_closes_its_connection_and_is_awaited
        if left_out == "break_off"
        else test_adapters.test_a_stream_comes_in_pieces_and_on_time
    )
    with pytest.raises(OrphansLeft):
        run_virtual(test(name))


def test_a_client_that_retries_is_found(monkeypatch):
    def retrying(maker: object, http: object) -> object:
        return maker.owned.with_options(max_retries=1)

    monkeypatch.setattr(_openai._Maker, "client", retrying)
    with pytest.raises(AssertionError):
        run_virtual(
            test_failures.test_a_refusal_is_raised_at_once_and_the_client_retries_nothing("openai")
        )


def test_usage_that_leaves_out_what_came_from_the_cache_is_found(monkeypatch):
    def without(used: object) -> object:
        whole = to_usage(used)
        return type(whole)(whole.tokens_in - whole.cached, whole.tokens_out, cached=whole.cached)

    monkeypatch.setattr("fanwise.providers._ai._reply.to_usage", without)
    with pytest.raises(AssertionError):
        test = test_adapters.test_what_was_read_from_the_cache_is_counted_inside_of_what_was_read
        run_virtual(test("openai"))


def test_a_cancel_that_only_lets_go_is_found(monkeypatch):
    async def detached(self: object, request: Request) -> object:
        return await asyncio.shield(asyncio.ensure_future(answer(self, request)))

    answer = _adapter.Adapter.answer
    monkeypatch.setattr(_adapter.Adapter, "answer", detached)
    with pytest.raises((AssertionError, OrphansLeft)):
        test = test_failures.test_a_cancelled_answer_closes_its_connection_and_is_awaited
        run_virtual(test("openai"))
