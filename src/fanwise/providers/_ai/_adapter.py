"""A `Provider` made of a model of pydantic-ai and the provider's own client."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from functools import partial
from typing import Generic, Protocol, TypeVar

import httpx2
from pydantic_ai import models
from pydantic_ai.direct import model_request, model_request_stream
from pydantic_ai.settings import ModelSettings

from fanwise.models import Answer, Rates, RatesListener, RawPiece, Request
from fanwise.providers._ai._ask import Asking, to_messages, to_parameters
from fanwise.providers._ai._closing import break_off, generators_closed, let_go
from fanwise.providers._ai._failing import FAILURES, put_right
from fanwise.providers._ai._http import HEARD, open_client
from fanwise.providers._ai._reply import Reading, to_answer
from fanwise.providers._ai._wrapping import is_object

C = TypeVar("C")


class Maker(Protocol[C]):
    """How one provider's client and model are made; both without retries of their own."""

    def client(self, http: httpx2.AsyncClient | None) -> C:
        """Make the client over these connections, or over the user's own (`None`)."""
        ...

    def model(self, client: C) -> models.Model[C]:
        """Make the model over a client."""
        ...


class Adapter(Generic[C]):
    """One model of one provider; connections are those of the loop in which it is asked.

    `rates` is what its last response said of the provider's limits.
    """

    __slots__ = ("_at", "_borrowed", "_listeners", "_maker", "_marks", "_name", "rates")

    def __init__(self, name: str, maker: Maker[C], *, borrowed: bool, marks: bool) -> None:
        """Take the address, and whether client or connections are `borrowed` from the user.

        `marks` says whether the shared text of prompts is marked for the provider's cache.
        """
        self._name = name
        self._maker = maker
        self._borrowed = borrowed
        self._marks = marks
        self._at: dict[asyncio.AbstractEventLoop, tuple[object, C, models.Model[C]]] = {}
        self._listeners: list[RatesListener] = []
        self.rates: Rates | None = None

    @property
    def name(self) -> str:
        """The model's address."""
        return self._name

    @property
    def model(self) -> str:
        """The provider's own name of the model."""
        return self._name.partition(":")[2]

    def listen(self, listener: RatesListener) -> Callable[[], None]:
        """Tell `listener` from now on what responses say of limits; call what is given to end it.

        A model outlives many runtimes: one that listens for a while has to stop.
        """
        self._listeners.append(listener)
        return partial(self._listeners.remove, listener)

    def hear(self, rates: Rates) -> None:
        """Keep what a response said of limits, and hand it to those who listen."""
        self.rates = rates
        for listener in tuple(self._listeners):
            listener(self._name, rates)

    @contextmanager
    def hearing(self) -> Iterator[None]:
        """Be told of the headers of what is asked in this block."""
        heard = HEARD.set(self)
        try:
            yield
        finally:
            HEARD.reset(heard)

    async def answer(self, request: Request, /) -> Answer[str]:
        """Answer one request."""
        _, model = await self.connected()
        asked = self.ask(request, model)
        try:
            with self.hearing():
                response = await model_request(
                    model, asked[0], model_settings=asked[1], model_request_parameters=asked[2]
                )
        except FAILURES as error:
            put_right(error)
            raise
        wrapped = request.schema is not None and not is_object(request.schema)
        return to_answer(response, self._name, wrapped=wrapped)

    async def pieces(self, request: Request, /) -> AsyncGenerator[RawPiece]:
        """Answer one request piece by piece, an `Ended` last."""
        _, model = await self.connected()
        try:
            async with aclosing(self._pieces(request, model)) as pieces:
                async for piece in pieces:
                    yield piece
        except BaseException as error:
            let_go(error)
            put_right(error)
            raise
        finally:
            await generators_closed()

    async def _pieces(self, request: Request, model: models.Model[C]) -> AsyncGenerator[RawPiece]:
        wrapped = request.schema is not None and not is_object(request.schema)
        reading = Reading(wrapped=wrapped)
        async with self._stream(request, model) as stream:
            events = aiter(stream)
            try:
                async for event in events:
                    for piece in reading.read(event, stream.usage):
                        yield piece
            except (GeneratorExit, asyncio.CancelledError):
                await break_off(stream, events)
                raise
            for piece in reading.end(stream.get(), self._name):
                yield piece

    @asynccontextmanager
    async def _stream(
        self, request: Request, model: models.Model[C]
    ) -> AsyncIterator[models.StreamedResponse]:
        asked = self.ask(request, model)
        opening = model_request_stream(
            model, asked[0], model_settings=asked[1], model_request_parameters=asked[2]
        )
        with self.hearing():
            stream = await opening.__aenter__()
        try:
            yield stream
        finally:
            await opening.__aexit__(None, None, None)

    async def connected(self) -> tuple[C, models.Model[C]]:
        """Give the provider's client and the model for the running loop."""
        loop = asyncio.get_running_loop()
        http = None if self._borrowed else await open_client()
        kept = self._at.get(loop)
        if kept is not None and kept[0] is http:
            return kept[1], kept[2]
        for other in list(self._at):  # a copy: other threads have loops of their own
            if other.is_closed():
                self._at.pop(other, None)
        client = self._maker.client(http)
        model = self._maker.model(client)
        self._at[loop] = (http, client, model)
        return client, model

    def ask(self, request: Request, model: models.Model[C]) -> Asking:
        """Give a request as the messages, settings and parameters of the library below."""
        messages = to_messages(request.chat, marks=self._marks)
        settings = (
            None if request.max_tokens is None else ModelSettings(max_tokens=request.max_tokens)
        )
        return messages, settings, to_parameters(request, model.profile)

    def __repr__(self) -> str:
        """Show the address."""
        return f"<{type(self).__name__} {self._name}>"
