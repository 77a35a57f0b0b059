"""Models by provider: one file or folder for each, none knowing another."""

from fanwise.providers._echo import Echo, echo
from fanwise.providers._extractive import Extractive, extractive

__all__ = ["Echo", "Extractive", "echo", "extractive"]
