"""Under which id a command's run is kept: the same command goes on with its last one."""

from contextlib import closing
from typing import Any, Final

from fanwise import Call
from fanwise.cli._refusal import refuse
from fanwise.cli._running import KeptAs
from fanwise.cli._runs import DEFAULT
from fanwise.cli._streams import say
from fanwise.core import JournalError, excuse, request_digest
from fanwise.stores import JournalFile

_DIGITS: Final = 12


def kept_as(call: Call[Any]) -> KeptAs:
    """Give the journal, and the id of the call's run: the last one, where that has not ended well.

    Refuses where the journal cannot be opened.
    """
    name = f"{call.step.name}-{request_digest(call.step, call.args, call.kwargs).hex()[:_DIGITS]}"
    try:
        with closing(JournalFile(str(DEFAULT))) as file:
            runs = [run for run in file.runs() if run.id.rpartition(".")[0] == name]
    except JournalError as error:
        excuse(call)
        refuse(str(error))
    number = len(runs) + (not runs or runs[-1].status == "ok")
    run = f"{name}.{number}"
    going = runs and number == len(runs)
    say(f"run {run} {'goes on' if going else 'begins'}, kept in {DEFAULT}")
    return KeptAs(DEFAULT, run)
