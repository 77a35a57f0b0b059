"""An estimate of tokens without a tokenizer.

Byte-pair tokenizers of current models give one token for about four bytes of English
prose (3.5 to 4.5), fewer bytes for code and markup. The rule is bytes of UTF-8 divided
by four, rounded up: it needs no vocabulary, never falls when text is added, and is
within about a fifth for prose. It is an estimate and is shown as one.
"""

from typing import Final

BYTES_PER_TOKEN: Final = 4


def bytes_of(text: str) -> int:
    """Count the bytes of a text in UTF-8 (a lone surrogate counts three)."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def tokens_estimated(text: str) -> int:
    """Estimate the tokens of a text: its bytes in UTF-8 by four, rounded up."""
    return -(-bytes_of(text) // BYTES_PER_TOKEN)
