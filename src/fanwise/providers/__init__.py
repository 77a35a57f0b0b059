"""Models by provider: one file or folder for each, none knowing another."""

from fanwise.providers._echo import Echo, echo
from fanwise.providers._extractive import Extractive, extractive
from fanwise.providers._named import (
    anthropic,
    close_connections,
    from_address,
    google,
    openai,
    openai_compatible,
)  # fmt: skip

__all__ = [
    "Echo", "Extractive", "anthropic", "close_connections", "echo", "extractive", "from_address",
    "google", "openai", "openai_compatible",
]  # fmt: skip
