"""Wrong use, said in a line, with the exit code 2."""

from typing import NoReturn

import click


def refuse(message: str) -> NoReturn:
    """Raise `click.UsageError` with this message."""
    raise click.UsageError(message, click.get_current_context(silent=True))
