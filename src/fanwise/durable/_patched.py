"""`patched`: a change in a program that old runs go on without."""

from fanwise.core import CURRENT


def patched(name: str) -> bool:
    """Say whether the running run has the change `name`: True unless it began without.

    The first time a run asks, the answer is kept in its journal: True for a new run, False for one
    that goes on. So `if patched("check"): await check(order)` is run by new runs alone: ask early,
    before the step makes a call. Without a journal it is True. Raises RuntimeError outside any
    step, TypeError for a name that is none.
    """
    given: object = name
    if not isinstance(given, str) or not given:
        raise TypeError(f'name is a str that is not empty, such as "check first", got {name!r}')
    here = CURRENT.get()
    if here is None or here.call is None:
        raise RuntimeError("patched(...) is for the inside of a step, and no call runs here")
    journal = here.run.journal
    return True if journal is None else journal.patched(name)
