"""One request from its admission to its end: the answer in its time, and what is charged."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, TypeAlias

from fanwise.testing.twin._http import Dropped
from fanwise.testing.twin._law import Pace
from fanwise.testing.twin._values import (
    BlockEnd,
    Counts,
    Reply,
    Saying,
    TextBegin,
    TextDelta,
    ToolBegin,
    ToolDelta,
    ToolUse,
    count_tokens,
    cut_tokens,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence

    from fanwise.testing.twin._cache import Found
    from fanwise.testing.twin._engine import Twin
    from fanwise.testing.twin._fault import Fault
    from fanwise.testing.twin._http import Refused
    from fanwise.testing.twin._ledger import Entry
    from fanwise.testing.twin._quota import Gate
    from fanwise.testing.twin._values import Ask, Block, Finish, Piece

NO_WAIT: Final = Pace(0.0, 0.0)
_TURNS: Final = 32
"""Tokens after which a stream without waits lets others run."""


@dataclass(frozen=True, slots=True)
class Broken:
    """In place of a piece: a chunk that is no JSON (the fault "malformed")."""


Increment: TypeAlias = "Piece | Broken"


@dataclass(frozen=True, slots=True)
class Plan:
    """What was decided about a request when it was admitted."""

    blocks: tuple[Block, ...]
    pace: Pace
    found: Found
    fault: Fault | None


class Turn:
    """An admitted question. Either `whole` or `pieces` is used, once.

    `number` is that of the request, `created` its time in whole seconds since 1970, `headers` are
    the provider's headers on what is left of the quota, `broken` tells that the body of an answer
    that is given whole must be no JSON.
    """

    def __init__(self, twin: Twin, ask: Ask, entry: Entry, plan: Plan, gate: Gate | None) -> None:
        self.twin, self.ask, self.entry = twin, ask, entry
        self.number, self.created = entry.number, int(twin.wall())
        self._plan, self._gate = plan, gate
        self._blocks, self._cut = _cut(_named(plan.blocks, twin, entry), ask.max_tokens)
        self._tokens = sum(count_tokens(block.text) for block in self._blocks)
        self._kept = False
        limits = {} if gate is None else gate.headers(ask.protocol, entry.time, twin.wall())
        self.headers: Mapping[str, str] = limits

    def __repr__(self) -> str:
        """Show the number, the model and the tokens of the answer."""
        return f"<Turn {self.number} {self.ask.model} {self._tokens} tokens>"

    @property
    def broken(self) -> bool:
        """Whether the fault "malformed" hit this request."""
        return self._fault("malformed") is not None

    @property
    def finish(self) -> Finish:
        """Why the answer ends."""
        if self._cut:
            return "length"
        return "tool_use" if any(isinstance(each, ToolUse) for each in self._blocks) else "stop"

    def counts(self, tokens_out: int = 0) -> Counts:
        """Give the tokens, with so many of output."""
        found = self._plan.found
        return Counts(self.ask.tokens, found.cached, found.written, tokens_out, found.written_long)

    @property
    def reply(self) -> Reply:
        """The answer, whole."""
        return Reply(self._blocks, self.finish, self.counts(self._tokens))

    async def whole(self) -> Reply:
        """Give the answer when its last token is made.

        Raises Dropped where the fault "reset" strikes. Cancelled: what was made until then is
        charged.
        """
        with self._charged():
            await self._wait(self._plan.pace.first)
            self._keep()
            late = 0.0
            if (fault := self._fault("reset", "stall")) is not None:
                await self._wait(self._plan.pace.due(fault.after))
                late = await _suffer(fault)
            await self._wait(self._plan.pace.until_whole(self._tokens) + late)
            self.entry.sent = self._tokens
        return self.reply

    async def pieces(self) -> AsyncGenerator[Increment, None]:
        """Give the answer token by token, each when it is made.

        Raises Dropped where the fault "reset" strikes. Closed or cancelled: what was given until
        then is charged.
        """
        with self._charged():
            self.entry.status = 200
            fault, late = self._fault("reset", "stall", "malformed"), 0.0
            for piece in spelled(self._blocks):
                if fault is not None and self._reached(fault, piece):
                    if fault.kind == "malformed":
                        yield Broken()
                    late, fault = await _suffer(fault), None
                if not isinstance(piece, BlockEnd):  # a block ends with its last token
                    await self._wait(self._plan.pace.due(self.entry.sent) + late)
                    self._keep()
                self.entry.sent += isinstance(piece, TextDelta | ToolDelta)
                yield piece
            if fault is not None:
                if fault.kind == "malformed":
                    yield Broken()
                await _suffer(fault)

    def _fault(self, *kinds: str) -> Fault | None:
        fault = self._plan.fault
        return fault if fault is not None and fault.kind in kinds else None

    def _reached(self, fault: Fault, piece: Piece) -> bool:
        """Tell whether so many tokens were sent that the fault strikes before this piece."""
        return self.entry.sent >= fault.after and isinstance(piece, TextDelta | ToolDelta)

    async def _wait(self, seconds: float) -> None:
        """Wait until so many seconds after the admission."""
        left = self.entry.time + seconds - self.twin.now()
        if left > 0:
            await asyncio.sleep(left)
        elif self.entry.sent % _TURNS == _TURNS - 1:
            await asyncio.sleep(0)

    def _keep(self) -> None:
        """Let the cache have the prompt, now that the first token is sent."""
        if not self._kept:
            self._kept = True
            self.twin.cache.write(self._plan.found, self.twin.now())

    @contextmanager
    def _charged(self) -> Iterator[None]:
        """Charge at the end, however it comes."""
        entry, complete = self.entry, False
        try:
            yield
            complete, entry.status, entry.finish = True, 200, self.finish
        except (asyncio.CancelledError, GeneratorExit):
            entry.closed_at = self.twin.now()
            raise
        finally:
            self._charge(self._tokens if complete else self._made())

    def _made(self) -> int:
        """Count the tokens made until now by an answer that did not get to its end."""
        if self.ask.stream:
            return self.entry.sent
        return self._plan.pace.made(self.twin.now() - self.entry.time, self._tokens)

    def _charge(self, tokens_out: int) -> None:
        now = self.twin.now()
        self.entry.ended_at = now
        self.twin.ledger.settle(self.entry, self.counts(tokens_out))
        if self._gate is not None:
            self._gate.used(now, tokens_out)


def fail(entry: Entry, refused: Refused, now: float) -> None:
    """Write into the ledger that a request was refused."""
    entry.status, entry.error, entry.ended_at = refused.status, refused.message, now
    refused.noted = True


def spelled(blocks: Sequence[Block]) -> Iterator[Piece]:
    """Give the increments of an answer, in order."""
    call = -1
    for index, block in enumerate(blocks):
        if isinstance(block, Saying):
            yield TextBegin(index)
            for token in cut_tokens(block.text):
                yield TextDelta(index, token)
        else:
            call += 1
            yield ToolBegin(index, call, block)
            for token in cut_tokens(block.text):
                yield ToolDelta(index, call, token)
        yield BlockEnd(index, block)


async def _suffer(fault: Fault) -> float:
    """Go through a fault and give the seconds that it took."""
    if fault.kind == "reset":
        raise Dropped
    if fault.kind == "stall":
        if fault.seconds is None:
            await asyncio.Event().wait()
        else:
            await asyncio.sleep(fault.seconds)
            return fault.seconds
    return 0.0


def _named(blocks: Sequence[Block], twin: Twin, entry: Entry) -> tuple[Block, ...]:
    """Give each call of a tool an id."""
    prefix = "toolu_" if entry.protocol == "anthropic" else "call_"
    return tuple(
        replace(block, id=twin.name(prefix, 1000 * entry.number + place))
        if isinstance(block, ToolUse) and not block.id
        else block
        for place, block in enumerate(blocks)
    )


def _cut(blocks: Sequence[Block], most: int | None) -> tuple[tuple[Block, ...], bool]:
    """Cut an answer to so many tokens, and tell whether anything was lost."""
    if most is None or sum(count_tokens(block.text) for block in blocks) <= most:
        return tuple(blocks), False
    kept: list[Block] = []
    for block in blocks:
        if most <= 0:
            break
        text = "".join(cut_tokens(block.text)[:most])
        most -= count_tokens(text)
        kept.append(Saying(text) if isinstance(block, Saying) else replace(block, raw=text))
    return tuple(kept), True
