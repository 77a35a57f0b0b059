"""Responses of LiteLLM: the shape of openai's, with the provider's name beside them."""

from functools import partial
from typing import Final

from fanwise.core import Reader, Reading
from fanwise.models._responses import _openai
from fanwise.models._responses._meter import Bit, PieceMeter
from fanwise.models._responses._shape import count, part, text


def completion(value: object) -> Reading | None:
    """Read a response; LiteLLM adds what Anthropic leaves out of its input."""
    known = _openai.chat(value)
    return None if known is None else _with_provider(value, known)


def embedding(value: object) -> Reading | None:
    """Read embeddings."""
    return _with_provider(value, _openai.counted(value)._replace(finish="stop"))


def chunk(piece: object) -> Bit | None:
    """Read a piece of a stream."""
    bit = _openai.chunk(piece)
    if bit is None:
        return None
    counted = bit.counted and _with_provider(piece, bit.counted)
    return bit._replace(
        model=_address(piece, bit.model), counted=counted, closing=counted is not None
    )


def _with_provider(value: object, known: Reading) -> Reading:
    usage = part(value, "usage")
    cached = known.cached or count(usage, "cache_read_input_tokens")
    written = known.written or count(usage, "cache_creation_input_tokens")
    return known._replace(model=_address(value, known.model), cached=cached, written=written)


def _address(value: object, model: str | None) -> str | None:
    provider = text(value, "_hidden_params", "custom_llm_provider")
    return model if model is None or provider is None or "/" in model else f"{provider}/{model}"


READERS: Final = {
    "EmbeddingResponse": Reader(embedding),
    "ModelResponse": Reader(completion),
    "ModelResponseStream": Reader(None, partial(PieceMeter, chunk)),
    "TextCompletionResponse": Reader(completion),
}
