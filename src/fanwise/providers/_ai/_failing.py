"""What is raised where a provider fails: the errors of pydantic-ai, each with its reason.

They carry status and wait, and are raised as they are. Two things are put right: an answer that
cannot be read is told like any other error there, and would not be retried; and a connection that
failed is told without the reason, which stands in the errors below only.
"""

from pydantic_ai.exceptions import ModelAPIError, ModelConnectionError, UnexpectedModelBehavior

from fanwise.models import BrokenAnswer

FAILURES = (ModelAPIError, UnexpectedModelBehavior)


def put_right(error: BaseException) -> None:
    """Raise `BrokenAnswer` for what tells of one; give a failed connection its reason."""
    if type(error) in FAILURES:
        raise BrokenAnswer(str(error)) from error
    if isinstance(error, ModelConnectionError):
        reason = _reason(error)
        if reason not in error.message:
            error.message = f"{error.message.removesuffix('.')}: {reason}"


def _reason(error: BaseException) -> str:
    """Give the text of the first cause of an error, or its kind where it has none."""
    first = error
    while (below := first.__cause__ or first.__context__) is not None:
        first = below
    return str(first) or type(first).__name__
