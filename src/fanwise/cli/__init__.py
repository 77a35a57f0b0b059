"""The command line: parse, call, print."""

from fanwise.cli._main import main

__all__ = ["main"]
