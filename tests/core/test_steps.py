"""Steps when the program runs: methods, functions of others, policies changed, what is refused."""

import asyncio
import contextvars
import functools

import pytest

from fanwise import Call, Retry, Runtime, Step, fan_out, step


@step
async def double(n: int) -> int:
    """Twice as much."""
    return n * 2


def test_a_step_keeps_the_functions_name_and_words():
    assert double.name == "double"
    assert double.__doc__ == "Twice as much."
    assert double.__wrapped__ is double.function
    assert repr(double) == "<step double>"
    assert isinstance(double, Step)


async def test_the_plain_function_is_there():
    assert await double.function(2) == 4


async def test_a_call_of_it_gives_its_value():
    call = double(2)
    assert isinstance(call, Call)
    assert await call == 4


async def test_wrong_arguments_are_the_calls_own_failure():
    call = double()
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        await call


async def test_a_name_may_be_given():
    @step(name="search")
    async def f():
        pass

    assert f.name == "search"
    found = await fan_out(f(), f())
    assert list(found.ok) == ["search", "search 2"]


def test_a_local_function_bears_its_own_name_only():
    @step
    async def inner():
        pass

    class Local:
        @step
        async def method(self):
            pass

    assert inner.name == "inner"
    assert Local.method.name == "Local.method"


# Methods


class Client:
    def __init__(self, factor):
        self.factor = factor

    @step
    async def times(self, n):
        return self.factor * n

    @step(timeout=1.0)
    async def slow(self):
        await asyncio.sleep(5)

    @classmethod
    async def plain(cls):
        return cls.__name__

    @step
    @staticmethod
    async def still(n):
        return n + 1


async def test_a_method_is_a_step_of_its_instance():
    assert await Client(3).times(2) == 6
    assert await Client.times(Client(3), 2) == 6
    found = await fan_out(Client(1).times(1), Client(2).times(1))
    assert found.values() == [1, 2]
    assert Client(3).times.name == "Client.times"
    assert await Client(3).times.function(2) == 6
    assert repr(Client.times) == "<step Client.times>"


async def test_a_methods_policy_may_be_changed():
    client = Client(1)
    with pytest.raises(TimeoutError):
        await client.slow()
    assert await client.slow.using(timeout=None)() is None


async def test_a_class_method_may_be_wrapped():
    assert await step(Client.plain)() == "Client"


# Functions of others


async def test_a_function_of_others_is_wrapped():
    later = step(asyncio.sleep, name="sleep")
    assert await later(2.0, "value") == "value"
    assert asyncio.get_running_loop().time() == 2.0


async def test_builtins_classes_lambdas_partials_and_callables_are_wrapped():
    class Adds:
        def __call__(self, n):
            return n + 1

    class AddsLater:
        async def __call__(self, n):
            await asyncio.sleep(1)
            return n + 1

    assert await step(len)([1, 2]) == 2
    assert await step(int)("3") == 3
    assert await step(lambda n: n)(4) == 4
    assert await step(functools.partial(max, 5))(1) == 5
    assert await step(Adds())(5) == 6
    assert await step(functools.partial(double.function, 3))() == 6
    assert await step(AddsLater())(6) == 7


async def test_a_plain_def_that_gives_a_coroutine_is_awaited_or_refused():
    """`def f(): return client.get()` is a common way to write an async function."""

    def lazily(n):
        return double.function(n)

    found = await fan_out(step(lazily)(2), need=0)
    assert found.values() == [4] or "lazily" in str(found)


async def test_a_plain_def_runs_inline_on_the_virtual_clock():
    name = contextvars.ContextVar("name", default="nobody")
    name.set("caller")

    @step(timeout=1.0, retry=Retry())
    def plain():
        return name.get()

    assert await plain() == "caller"


# What is refused


def test_a_generator_is_refused():
    def now():
        yield 1

    told = r"now is a generator: return list\(\.\.\.\), or make it a stream with `async def`"
    with pytest.raises(TypeError, match=told):
        step(now)


def test_a_step_of_a_step_is_refused_with_the_cure():
    with pytest.raises(TypeError, match=r"<step double> is a step already: \.using\(\.\.\.\)"):
        step(double)
    with pytest.raises(TypeError, match="is a step already"):
        step(Client(1).times)


def test_what_cannot_be_called_is_refused():
    with pytest.raises(TypeError, match="a step is made of a function, got 3"):
        step(3)


# Using


def test_using_gives_the_same_step_under_another_policy():
    slow = double.using(timeout=5.0, limit="x")
    assert slow is not double
    assert (slow.name, slow.function) == (double.name, double.function)
    assert (slow.policy.timeout, slow.policy.limit) == (5.0, "x")
    assert (double.policy.timeout, double.policy.limit) == (None, None)
    assert slow.using(limit=None).policy.timeout == 5.0
    assert slow.using(limit=None).policy.limit is None
    assert slow.using().policy.timeout == 5.0


def test_using_refuses_what_cannot_be_meant():
    with pytest.raises(ValueError, match="timeout is at least 0, got -1"):
        double.using(timeout=-1)
    with pytest.raises(TypeError, match="effect"):
        double.using(effect="write")


def test_a_policy_shows_what_differs():
    assert repr(double.policy) == "Policy()"
    assert repr(double.using(timeout=1.0).policy) == "Policy(timeout=1.0)"


async def test_the_same_step_under_two_policies_in_one_runtime():
    @step
    async def waits():
        await asyncio.sleep(1)
        return "value"

    async with Runtime():
        found = await fan_out(waits(), waits.using(timeout=0.5)(), waits(), need=0)
    assert [outcome.status for outcome in found] == ["ok", "timed_out", "ok"]
