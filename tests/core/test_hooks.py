"""The engine's hooks: what stands between a call and its body, and where plain functions run."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from fanwise import Hedge, Retry, Runtime, fan_out, step

made = []


@step
async def double(number):
    made.append(number)
    if number < 0:
        raise ValueError(number)
    return 2 * number


class Counts:
    """An admission that notes what it is asked, and refuses beyond its number."""

    def __init__(self, most=99):
        self.most = most
        self.open = self.reserved = 0

    async def reserve(self, call):
        if self.reserved >= self.most:
            raise PermissionError(f"{self.most} are spent")
        self.open += 1
        self.reserved += 1
        return call.step.name

    def settle(self, reservation, call):
        assert reservation == call.step.name
        self.open -= 1


@pytest.fixture(autouse=True)
def forget():
    made.clear()


async def test_every_attempt_is_admitted_and_settled():
    async with Runtime(seed=1) as runtime:
        admission = runtime.hooks.admission = Counts()
        flaky = double.using(retry=Retry(attempts=3, on=(ValueError,)), hedge=Hedge(after=60))
        with pytest.raises(ValueError, match="-1"):
            await runtime.run(flaky(-1))
    assert (admission.reserved, admission.open) == (3, 0)


async def test_what_is_not_admitted_does_not_run():
    @step
    async def both():
        return await fan_out(double(1), double(2), need=1)

    async with Runtime() as runtime:
        admission = runtime.hooks.admission = Counts(
            most=2
        )  # the step around them is admitted, too
        found = await runtime.run(both())
    assert made == [1]
    assert isinstance(found.outcomes[1].error, PermissionError)
    assert admission.open == 0


@pytest.mark.real_clock
async def test_plain_functions_run_in_the_pool_that_is_given():
    import threading

    @step
    def where():
        return threading.current_thread().name

    with ThreadPoolExecutor(1, thread_name_prefix="mine") as pool:
        async with Runtime(pools={"thread": pool}) as runtime:
            assert (await runtime.run(where())).startswith("mine")
