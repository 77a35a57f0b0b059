"""Runs in the forms of other tools."""

from fanwise.traces._mermaid import mermaid

__all__ = ["mermaid"]
