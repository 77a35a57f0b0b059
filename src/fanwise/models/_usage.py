"""Tokens that one answer used."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens in and out of one answer; `estimated` where the provider does not count."""

    tokens_in: int
    tokens_out: int
    estimated: bool = False

    def __add__(self, other: "Usage") -> "Usage":
        """Add two usages; the sum is estimated as soon as one of them is."""
        return Usage(
            self.tokens_in + other.tokens_in,
            self.tokens_out + other.tokens_out,
            estimated=self.estimated or other.estimated,
        )
