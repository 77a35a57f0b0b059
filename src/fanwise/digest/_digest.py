"""A digest as one call."""

from collections.abc import Callable, Iterable
from typing import Final

from fanwise import Call, Limit, Retry
from fanwise.core import OwnLimit
from fanwise.digest._bounds import Bounds
from fanwise.digest._job import Job
from fanwise.digest._values import Digest, Part
from fanwise.documents import Files, Library
from fanwise.models import Model, model

_USUAL: Final = Bounds()
_RETRY: Final = Retry(attempts=4)
_TIMEOUT: Final = 120.0  # seconds for one answer


def digest(
    places: Iterable[str],
    task: str,
    *,
    by: Model | str = "local:extractive",
    merge_by: Model | str | None = None,
    bounds: Bounds = _USUAL,
    library: Library | None = None,
    watch: Callable[[Part], None] | None = None,
) -> Call[Digest]:
    """Make the call that answers `task` over documents with quotes and their places.

    `places` are folders, patterns and files; `by` is a model or its address, `merge_by` another
    one that chooses among what the first quoted (`None`: the same); `bounds` holds its sizes;
    `watch` is told of each step forward, as a part. PDF files are read in other processes. Under
    an explicit `Runtime` add `limits()` to its limits. A model given by its address is asked
    again when it fails in passing, up to four times in all, has 120 s for an answer, and takes what
    it uses from the limit of its address (or a pattern such as "openai:*"), where the runtime
    defines one; one that is a `Model` has its own policy. Raises ValueError for an empty task or an
    unknown model.
    """
    if not task.strip():
        raise ValueError('task="" is empty; say what is asked, such as "What is this about?"')
    chosen = _model(by)
    merger = chosen if merge_by is None else _model(merge_by)
    job = Job(task.strip(), chosen, merger, bounds, library or Files(), watch)
    return job.digest(tuple(places))


def _model(given: Model | str) -> Model:
    """Give a model under the policy of a digest; one that the caller made keeps its own."""
    if not isinstance(given, str):
        return given
    if ":" not in given:
        msg = (
            f"model={given!r} is not known: an address is a provider and a name, such as "
            f'"openai:gpt-5-mini"; a name of the runtime is given as model({given!r})'
        )
        raise ValueError(msg)
    found = model(given)
    if given.startswith("local:"):
        return found
    quota = OwnLimit(given, Limit())  # none, unless the runtime defines one
    return found.using(retry=_RETRY, timeout=_TIMEOUT, limit=quota)
