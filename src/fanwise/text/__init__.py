"""Text cut into blocks, sentences and chunks with exact offsets; token estimates."""

from fanwise.text._block import Block, Kind
from fanwise.text._blocks import Markup, Outline, blocks
from fanwise.text._chunks import Chunk, chunks
from fanwise.text._sentences import PROSE, Sentence, sentences, sentences_of
from fanwise.text._tokens import BYTES_PER_TOKEN, bytes_of, tokens_estimated
from fanwise.text._words import STOP_WORDS, stem, terms

__all__ = [
    "BYTES_PER_TOKEN",
    "PROSE",
    "STOP_WORDS",
    "Block",
    "Chunk",
    "Kind",
    "Markup",
    "Outline",
    "Sentence",
    "blocks",
    "bytes_of",
    "chunks",
    "sentences",
    "sentences_of",
    "stem",
    "terms",
    "tokens_estimated",
]
