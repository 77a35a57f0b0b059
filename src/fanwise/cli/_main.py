"""The command `fanwise`, and how every command ends.

Commands are imported when they are called: `fanwise --help` reads a table only.
"""

import sys
from collections.abc import Sequence
from typing import Final, cast

import click

from fanwise import __version__
from fanwise.cli._exit import Exit
from fanwise.cli._streams import accept_any_text

_COMMANDS: Final = {
    "demo": "Show what Fanwise is for: one flaky job, three times, in under ten seconds.",
    "digest": "Answer a task over documents, with the place of every statement.",
    "limits": "Show the limits that processes share over Redis, live: who waits, what is used.",
    "run": "Run a step, a function or a call of yours, and watch it.",
    "runs": "Show the runs of a journal, and say what became of a write.",
    "show": "Show what a run did, from its record: the waterfall, the critical path.",
    "twin": "Serve OpenAI's and Anthropic's wires without a model, for tests and load.",
}


class CommandTable(click.Group):
    """A group whose commands are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Give the names of all commands."""
        return sorted(_COMMANDS)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        cmd_name: str,
    ) -> click.Command | None:
        """Import a command, or give None for an unknown name."""
        if cmd_name not in _COMMANDS:
            return None
        from fanwise.core import _registry  # noqa: PLC0415 - the engine, which `--help` does without

        return cast("click.Command", _registry.load("command", cmd_name))

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        formatter: click.HelpFormatter,
    ) -> None:
        """Write the list of commands from the table."""
        with formatter.section("Commands"):
            formatter.write_dl(sorted(_COMMANDS.items()))


@click.group(cls=CommandTable, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="fanwise", message="%(prog)s %(version)s")
def fanwise() -> None:
    """Run the independent parts of a job at the same time, safely."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave the process with an exit code."""
    accept_any_text()
    sys.exit(_code(arguments))


def _code(arguments: Sequence[str] | None) -> int:
    """Run a command; whatever ends it, say why in plain words and give the code."""
    try:
        code = fanwise.main(arguments, prog_name="fanwise", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return Exit.WRONG_USE
    except click.ClickException as error:
        return _explain(error)
    except (click.Abort, KeyboardInterrupt):
        return Exit.INTERRUPTED
    return code if isinstance(code, int) else Exit.COMPLETE


def _explain(error: click.ClickException) -> int:
    click.echo(f"fanwise: {error.format_message()}", err=True)
    context = error.ctx if isinstance(error, click.UsageError) else None
    if context is not None:
        click.echo(f"fanwise: see {context.command_path} --help", err=True)
    return error.exit_code
