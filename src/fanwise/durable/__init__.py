"""What programs of durable runs ask: `patched`, so that old runs go on with new code."""

from fanwise.durable._patched import patched

__all__ = ["patched"]
