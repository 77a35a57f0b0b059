"""The twin: admits, answers in the model's time, and keeps the account."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import random
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, TypeVar

from fanwise.testing.twin._answers import Answering, answering, to_blocks
from fanwise.testing.twin._app import App
from fanwise.testing.twin._batches import BatchPace
from fanwise.testing.twin._cache import PromptCache
from fanwise.testing.twin._fault import Fault, Faults, wrong
from fanwise.testing.twin._http import Refused
from fanwise.testing.twin._law import Law
from fanwise.testing.twin._ledger import Entry, Ledger, Price, Statistics
from fanwise.testing.twin._quota import Gate, Quota
from fanwise.testing.twin._serving import serving
from fanwise.testing.twin._shelf import Shelf
from fanwise.testing.twin._turn import NO_WAIT, Plan, Turn, fail

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractAsyncContextManager

    from fanwise.testing.twin._cache import Found
    from fanwise.testing.twin._transport import Client, TwinTransport
    from fanwise.testing.twin._values import Ask, Block

_WORDLESS: Final = frozenset({"embeddings"})
_OF_CONNECTIONS: Final = frozenset({"reset", "stall", "malformed"})
_Value = TypeVar("_Value")
_ANY: Final = "*"
_NO_LAW: Final = Law()


class Twin:
    """A provider that is not there.

    `models` gives each model its `Law`; the name "*" stands for all others (`None`: any model,
    at once). `quota` is one `Quota` for every model, or one for each; it is kept for each key
    and model. `answers` is a rule ("auto", "echo", "extract", "choose", "quote"), a `Script`,
    a function of the `Ask`, or one of them for each model. `faults` is the script of what goes
    wrong, `prices` the dollars of each model ("*": all others; a model without a price costs
    an unknown amount, never 0), `batches` how long batches take. What is drawn is drawn from
    `seed` and the request's number (or its text, where the law says so).

    Times are those of the running loop, so that on the virtual clock nothing is waited for.
    """

    cache: PromptCache
    ledger: Ledger
    models: dict[str, Law]
    shelf: Shelf

    def __init__(
        self,
        models: Mapping[str, Law] | None = None,
        *,
        quota: Quota | Mapping[str, Quota] | None = None,
        answers: Answering | Mapping[str, Answering] = "auto",
        faults: Sequence[Fault] = (),
        prices: Mapping[str, Price] | None = None,
        batches: BatchPace | None = None,
        seed: int = 0,
    ) -> None:
        self.models = {_ANY: _NO_LAW} if models is None else _table("models", models, Law)
        self.ledger = Ledger(_table("prices", prices or {}, Price))
        self.seed = seed
        quotas = {_ANY: quota} if isinstance(quota, Quota) else quota or {}
        self._quotas = _table("quota", quotas, Quota)
        if batches is not None and not isinstance(batches, BatchPace):
            raise TypeError(f"batches={batches!r}: a BatchPace is expected")
        self._answer = answering(answers, seed)
        self._faults = Faults(faults, seed)
        self._gates: dict[tuple[str, str], Gate] = {}
        self.cache = PromptCache()
        self.shelf = Shelf(batches)
        self._app = App(self)
        self._epoch: float | None = None
        self._first: float | None = None

    def __repr__(self) -> str:
        """Show its models and how much it has seen."""
        return f"<Twin {', '.join(self.models)}: {len(self.ledger)} requests>"

    def statistics(self) -> Statistics:
        """Count what the twin has seen so far."""
        return self.ledger.statistics()

    def now(self) -> float:
        """Give the loop's time, in seconds."""
        return asyncio.get_running_loop().time()

    def wall(self) -> float:
        """Give the time since 1970, in seconds: that of the first look, moved on by the loop's."""
        if self._epoch is None:
            self._epoch = time.time() - self.now()
        return self._epoch + self.now()

    def name(self, prefix: str, number: int) -> str:
        """Give an id that the same seed gives again."""
        return prefix + hashlib.sha256(f"{self.seed}:{prefix}:{number}".encode()).hexdigest()[:24]

    def knows(self, model: str) -> bool:
        """Tell whether there is such a model."""
        return model in self.models or _ANY in self.models

    @property
    def app(self) -> App:
        """The twin as an ASGI application."""
        return self._app

    def transport(self) -> TwinTransport:
        """Give a transport for `httpx2.AsyncClient`, and so for the official clients.

        It needs no socket, streams, and goes by the running loop's clock, the virtual one too.
        Raises ImportError where the extra `twin` is not installed.
        """
        from fanwise.testing.twin._transport import TwinTransport  # noqa: PLC0415 - an extra

        return TwinTransport(self._app)

    def client(self) -> Client:
        """Give an `httpx2.AsyncClient` over `transport()`; raises ImportError as it does."""
        from fanwise.testing.twin._transport import client  # noqa: PLC0415 - an extra

        return client(self._app)

    def serve(self, *, host: str = "127.0.0.1", port: int = 0) -> AbstractAsyncContextManager[str]:
        """Serve over a socket in the running loop; gives the address, `http://host:port`.

        OpenAI's clients take it with `/v1` as their `base_url`, Anthropic's as it is. `port=0` is
        any free one. At the end of the block all connections are dropped. Raises OSError where
        the port is taken.
        """
        return serving(self._app, host, port)

    def note(self, entry: Entry) -> Entry:
        """Write a request into the ledger."""
        self.ledger.entries.append(entry)
        return entry

    def enter(self, ask: Ask) -> Entry:
        """Write a question into the ledger, before anything is decided about it."""
        return self.note(
            Entry(
                number=self.ledger.number(),
                time=self.now(),
                model=ask.model,
                protocol=ask.protocol,
                endpoint=ask.endpoint,
                key=ask.key,
                batch=ask.batch,
                stream=ask.stream,
            )
        )

    async def begin(self, ask: Ask) -> Turn:
        """Admit a question and decide its answer; raise Refused, which the ledger has then.

        What a batch asks (`ask.batch`) meets neither quota nor waits.
        """
        entry = self.enter(ask)
        now = entry.time
        if self._first is None:
            self._first = now
        try:
            law = self._law(ask)
            fault = self._struck(ask, entry, now - self._first)
            found = self.cache.look(ask, now)
            gate = self._pass(ask, now, found)
            blocks = () if ask.endpoint in _WORDLESS else await self._blocks(ask)
        except Refused as refused:
            fail(entry, refused, self.now())
            raise
        except asyncio.CancelledError:
            entry.ended_at = entry.closed_at = self.now()
            raise
        self.cache.read(found, now)
        if fault is not None and fault.kind == "wrong_json":
            blocks = wrong(blocks, ask.schema)
        pace = NO_WAIT if ask.batch else law.draw(self._luck(law, ask, entry.number))
        plan = Plan(blocks, pace, found, fault)
        return Turn(self, ask, entry, plan, gate)

    def _law(self, ask: Ask) -> Law:
        law = self.models.get(ask.model) or self.models.get(_ANY)
        if law is None:
            text = f"The model `{ask.model}` does not exist or you do not have access to it."
            raise Refused(404, "missing", text, param="model", code="model_not_found")
        return law

    def _luck(self, law: Law, ask: Ask, number: int) -> random.Random:
        by = number if law.draws == "number" else "\0".join(part.text for part in ask.parts)
        return random.Random(f"{self.seed}:{ask.model}:{by}")

    def _struck(self, ask: Ask, entry: Entry, seconds: float) -> Fault | None:
        fault = self._faults.strike(ask, entry.number, seconds)
        if fault is not None and ask.batch and fault.kind in _OF_CONNECTIONS:
            return None
        if fault is not None:
            entry.fault = fault.kind
            if fault.kind in ("status", "outage"):
                raise fault.refusal()
        return fault

    def _pass(self, ask: Ask, now: float, found: Found) -> Gate | None:
        """Take from the buckets of a key and model what the request costs."""
        quota = self._quotas.get(ask.model) or self._quotas.get(_ANY)
        if quota is None or ask.batch:
            return None
        gate = self._gates.get((ask.key, ask.model))
        if gate is None:
            gate = self._gates[ask.key, ask.model] = Gate(quota)
        # Anthropic's limits leave out what comes from the cache; OpenAI's do not.
        tokens = ask.tokens - (found.cached if ask.protocol == "anthropic" else 0)
        try:
            gate.admit(ask, now, tokens)
        except Refused as refused:
            known = gate.headers(ask.protocol, now, self.wall())
            refused.headers = {**known, **refused.headers}
            raise
        return gate

    async def _blocks(self, ask: Ask) -> tuple[Block, ...]:
        try:
            said = self._answer(ask)
            return to_blocks(await said if inspect.isawaitable(said) else said)
        except Exception as error:
            raise Refused(500, "internal", f"the answer's function raised {error!r}") from error


def _table(name: str, given: Mapping[str, _Value], kind: type[_Value]) -> dict[str, _Value]:
    """Give a table by model, where every value is what it must be."""
    if not isinstance(given, Mapping):
        msg = f"{name}={given!r}: a mapping from the name of a model to its {kind.__name__}"
        raise TypeError(msg)
    for model, value in given.items():
        if not isinstance(value, kind):
            msg = f"{name}[{model!r}]={value!r}: a {kind.__name__} is expected"
            raise TypeError(msg)
    return dict(given)
