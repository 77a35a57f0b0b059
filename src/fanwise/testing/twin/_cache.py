"""Prompt caches as the two providers keep them.

OpenAI's is automatic: a prefix of at least 1,024 tokens, in steps of 128, is known again.
Anthropic's keeps what the caller marked (`cache_control`), for 5 minutes or an hour. In both an
entry can be read only once the first token of the request that writes it was sent, so requests
that start together all pay in full; and each read makes it live on from then.

A prefix is known by a chain of hashes, one for each step (as in Merkle–Damgård: each link hashes
the link before it with its own block), so that all prefixes of a prompt cost one pass over it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fanwise.testing.twin._values import CHARACTERS, count_tokens

if TYPE_CHECKING:
    from fanwise.testing.twin._values import Ask

LEAST: Final = 1024
"""Tokens below which a prefix is not kept."""
STEP: Final = 128
"""Tokens by which OpenAI's prefixes grow."""
LOOK_BACK: Final = 20
"""Blocks before a mark at which Anthropic's cache looks for an earlier entry."""
_LIFE: Final = {"5m": 300.0, "1h": 3600.0}
_FEW: Final = 1024
"""Prefixes of which none is thrown away before somebody asks for it."""


@dataclass(slots=True)
class _Kept:
    life: float
    until: float


@dataclass(frozen=True, slots=True)
class _Prefix:
    """A prefix that may be kept: its tokens, its name, and the seconds that it is to live."""

    tokens: int
    name: bytes
    life: float


@dataclass(frozen=True, slots=True)
class Found:
    """What the cache had for a request: tokens read, and tokens that it will write."""

    cached: int = 0
    written: int = 0
    written_long: int = 0
    to_read: tuple[bytes, ...] = ()
    to_write: tuple[_Prefix, ...] = ()


_NONE: Final = Found()


class PromptCache:
    """The prompt caches of all models and keys.

    What has expired is thrown away whenever there are twice as many prefixes as the last time, so
    that a twin that runs for days holds no more than its callers could still read.
    """

    __slots__ = ("_full", "_kept")

    def __init__(self) -> None:
        self._kept: dict[bytes, _Kept] = {}
        self._full = _FEW

    def __repr__(self) -> str:
        """Show how many prefixes are kept."""
        return f"<PromptCache {len(self._kept)} prefixes>"

    def look(self, ask: Ask, now: float) -> Found:
        """Tell what a request reads and will write; changes nothing."""
        if ask.tokens < LEAST:
            return _NONE
        return self._automatic(ask, now) if ask.protocol == "openai" else self._marked(ask, now)

    def read(self, found: Found, now: float) -> None:
        """Let what was read live on."""
        for name in found.to_read:
            kept = self._kept.get(name)
            if kept is not None:  # it may have expired while the answer was thought of
                kept.until = now + kept.life

    def write(self, found: Found, now: float) -> None:
        """Keep what a request writes: called when its first token is sent."""
        for prefix in found.to_write:
            self._kept[prefix.name] = _Kept(prefix.life, now + prefix.life)
        if len(self._kept) > self._full:
            self._kept = {name: kept for name, kept in self._kept.items() if kept.until > now}
            self._full = max(_FEW, 2 * len(self._kept))

    def _lives(self, name: bytes, now: float) -> bool:
        kept = self._kept.get(name)
        if kept is not None and kept.until <= now:
            del self._kept[name]
            return False
        return kept is not None

    def _automatic(self, ask: Ask, now: float) -> Found:
        prefixes = _steps(ask)
        known = [each for each in prefixes if self._lives(each.name, now)]
        cached = known[-1].tokens if known else 0
        fresh = tuple(each for each in prefixes if each.tokens > cached)
        return Found(cached, to_read=tuple(each.name for each in known), to_write=fresh)

    def _marked(self, ask: Ask, now: float) -> Found:
        blocks, marks = _blocks(ask)
        kept = [at for at in marks if blocks[at].tokens >= LEAST]
        if not kept:
            return _NONE
        near = {at for mark in kept for at in range(max(0, mark - LOOK_BACK), mark + 1)}
        known = [at for at in sorted(near) if self._lives(blocks[at].name, now)]
        cached = blocks[known[-1]].tokens if known else 0
        fresh = [blocks[at] for at in kept if blocks[at].tokens > cached]
        written, long, last = 0, 0, cached
        for each in fresh:
            written += each.tokens - last
            long += each.tokens - last if each.life == _LIFE["1h"] else 0
            last = each.tokens
        names = tuple(blocks[at].name for at in known)
        return Found(cached, written, long, names, tuple(fresh))


def _start(ask: Ask) -> bytes:
    return hashlib.sha256(f"{ask.key}\0{ask.model}".encode()).digest()


def _link(before: bytes, text: str) -> bytes:
    return hashlib.sha256(before + text.encode("utf-8", "surrogatepass")).digest()


def _steps(ask: Ask) -> list[_Prefix]:
    whole = "".join((*ask.preamble, *(part.text for part in ask.parts)))
    link, found = _start(ask), list[_Prefix]()
    for at in range(STEP, len(whole) // CHARACTERS + 1, STEP):
        link = _link(link, whole[(at - STEP) * CHARACTERS : at * CHARACTERS])
        if at >= LEAST:
            found.append(_Prefix(at, link, _LIFE["5m"]))
    return found


def _blocks(ask: Ask) -> tuple[list[_Prefix], list[int]]:
    """Give a prefix for every block's end, and the places of those that are marked."""
    marks = [*(tool.mark for tool in ask.tools), *([None] * (len(ask.preamble) - len(ask.tools)))]
    texts = [("", text, mark) for text, mark in zip(ask.preamble, marks, strict=True)]
    texts += [(part.role, part.text, part.mark) for part in ask.parts]
    link, tokens, found = _start(ask), 0, list[_Prefix]()
    for role, text, mark in texts:
        link, tokens = _link(link, f"{role}\0{text}"), tokens + count_tokens(text)
        found.append(_Prefix(tokens, link, _LIFE[mark or "5m"]))
    return found, [at for at, (_, _, mark) in enumerate(texts) if mark is not None]
