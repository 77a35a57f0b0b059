"""OpenAI's embeddings: vectors of hashed words, so that texts which share words lie near.

Each word by its length, and a little each three of its letters in a row, adds to one place of the
vector, with a sign (feature hashing: Weinberger et al., Feature Hashing for Large Scale Multitask
Learning, 2009), and the whole is brought to the length 1. The same text gives the same vector
everywhere.
"""

from __future__ import annotations

import base64
import hashlib
import math
import re
import struct
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from fanwise.testing.twin._fields import Fields
from fanwise.testing.twin._http import Refused, Route
from fanwise.testing.twin._values import Ask, Part
from fanwise.testing.twin._wire import answer_whole

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fanwise.testing.twin._http import Request
    from fanwise.testing.twin._turn import Turn
    from fanwise.testing.twin._values import Json, Reply

SIZE: Final = 1536
"""Numbers of a vector where the caller does not ask for so many (`dimensions`)."""
_LARGEST: Final = 4096
_MOST: Final = 2048
"""Inputs of a request, as OpenAI allows."""
_WORD: Final = re.compile(r"\w+")


def embed(text: str, size: int = SIZE) -> list[float]:
    """Give the vector of a text."""
    vector = [0.0] * size
    for feature, weight in _features(text):
        place, sign = _place(feature)
        vector[place % size] += weight if sign else -weight
    length = math.sqrt(sum(each * each for each in vector))
    if length == 0:
        vector[0] = length = 1.0
    return [each / length for each in vector]


def _features(text: str) -> Iterator[tuple[str, float]]:
    for word in _WORD.findall(text.lower()):
        yield word, min(len(word), 8) / 4
        around = f"^{word}$"
        for at in range(len(around) - 2):
            yield around[at : at + 3], 0.2


@lru_cache(maxsize=65536)
def _place(feature: str) -> tuple[int, bool]:
    digest = hashlib.blake2b(feature.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    number = int.from_bytes(digest, "big")
    return number >> 1, bool(number & 1)


class EmbeddingsWire:
    """The codec of `POST /v1/embeddings`."""

    def read(self, request: Request) -> Ask:
        """Read the texts and how their vectors are wanted."""
        fields = Fields(request.json())
        size = fields.count("dimensions") or SIZE
        if size > _LARGEST:
            text = f"Invalid value for 'dimensions' = {size}: at most {_LARGEST}."
            raise Refused(400, "invalid", text, param="dimensions")
        return Ask(
            protocol="openai",
            endpoint="embeddings",
            model=fields.text("model"),
            parts=tuple(Part("user", text) for text in _inputs(fields)),
            key=request.key,
            headers=request.headers,
            more={"size": size, "coded": fields.text("encoding_format", "float") == "base64"},
        )

    def write(self, turn: Turn, reply: Reply) -> Json:
        """Write the vectors."""
        size, coded = int(str(turn.ask.more["size"])), bool(turn.ask.more["coded"])
        vectors = [embed(part.text, size) for part in turn.ask.parts]
        data = [_item(place, vector, coded=coded) for place, vector in enumerate(vectors)]
        used = {"prompt_tokens": reply.counts.tokens_in, "total_tokens": reply.counts.tokens_in}
        return {"object": "list", "data": data, "model": turn.ask.model, "usage": used}


def _item(place: int, vector: list[float], *, coded: bool) -> Json:
    packed = base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode("ascii")
    return {"object": "embedding", "index": place, "embedding": packed if coded else vector}


def _inputs(fields: Fields) -> Iterator[str]:
    """Give the texts; tokens are taken for texts of their numbers."""
    given = fields.get("input")
    if isinstance(given, str) and given:
        given = [given]
    if not isinstance(given, list) or not 0 < len(given) <= _MOST:
        raise fields.wrong("input", f"a non-empty string or an array of 1 to {_MOST} of them")
    if all(isinstance(each, int) for each in given):
        given = [given]
    for each in given:
        if isinstance(each, list):
            yield " ".join(str(token) for token in each)
        elif isinstance(each, str) and each:
            yield each
        else:
            raise fields.wrong("input", "texts that are not empty")


ROUTES: Final = [Route("POST", "/v1/embeddings", answer_whole(EmbeddingsWire()), "openai")]
