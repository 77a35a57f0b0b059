"""Tokens that one answer used."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one answer, as they are billed; `estimated` where the provider did not count.

    `tokens_in` is all that was read, the parts from the provider's cache (`cached`) and into it
    (`written`) included, whatever the provider's own field means. `tokens_out` is all that was
    written, reasoning included.
    """

    tokens_in: int
    tokens_out: int
    estimated: bool = False
    cached: int = 0
    written: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        """Add two usages; the sum is estimated as soon as one of them is."""
        return Usage(
            self.tokens_in + other.tokens_in,
            self.tokens_out + other.tokens_out,
            estimated=self.estimated or other.estimated,
            cached=self.cached + other.cached,
            written=self.written + other.written,
        )
