"""A digest as one call."""

from collections.abc import Callable, Iterable
from typing import Final

from fanwise import Call
from fanwise.digest._bounds import Bounds
from fanwise.digest._job import Job
from fanwise.digest._values import Digest, Part
from fanwise.documents import Files, Library
from fanwise.models import Model, model

_USUAL: Final = Bounds()


def digest(
    places: Iterable[str],
    task: str,
    *,
    by: Model | str = "local:extractive",
    bounds: Bounds = _USUAL,
    library: Library | None = None,
    watch: Callable[[Part], None] | None = None,
) -> Call[Digest]:
    """Make the call that answers `task` over documents with quotes and their places.

    `places` are folders, patterns and files; `by` is a model or its address; `bounds` holds
    its sizes; `watch` is told of each step forward, as a part. PDF files are read in other
    processes. Under an explicit `Runtime` add `limits()` to its limits. Raises ValueError
    for an empty task or an unknown model.
    """
    if not task.strip():
        raise ValueError('task="" is empty; say what is asked, such as "What is this about?"')
    chosen = model(by) if isinstance(by, str) else by
    job = Job(task.strip(), chosen, bounds, library or Files(), watch)
    return job.digest(tuple(places))
