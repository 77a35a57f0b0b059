"""Colour where somebody looks, and never in a pipe unless it is asked for."""

import os
import sys
from collections.abc import Mapping
from typing import Final

_CODES: Final = {
    "critical": "1;33",
    "failed": "31",
    "faint": "2",
    "wait": "36",
    "strong": "1",
}


def wanted(environment: Mapping[str, str] = os.environ) -> bool:
    """Say whether to colour: NO_COLOR forbids it, FORCE_COLOR asks for it, a terminal has it."""
    if environment.get("NO_COLOR"):
        return False
    if environment.get("FORCE_COLOR"):
        return environment["FORCE_COLOR"] != "0"
    return sys.stdout.isatty() and environment.get("TERM") != "dumb"


class Paint:
    """Puts colours around text, or leaves it as it is."""

    def __init__(self, *, on: bool) -> None:
        """Paint where `on`."""
        self.on = on

    def __call__(self, text: str, *styles: str) -> str:
        """Give the text in these styles."""
        codes = ";".join(_CODES[style] for style in styles if style)
        return f"\x1b[{codes}m{text}\x1b[0m" if self.on and codes and text else text

    def __repr__(self) -> str:
        """Say whether it paints."""
        return f"<Paint on={self.on}>"
