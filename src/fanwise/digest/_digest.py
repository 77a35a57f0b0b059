"""A digest as one call."""

from collections.abc import Callable, Iterable

from fanwise import Call
from fanwise.digest._job import Job
from fanwise.digest._values import Digest, Part
from fanwise.documents import Files, Library
from fanwise.models import Model, model


def digest(
    places: Iterable[str],
    task: str,
    *,
    by: Model | str = "local:extractive",
    most: int = 12,
    size_tokens: int = 1500,
    library: Library | None = None,
    watch: Callable[[Part], None] | None = None,
) -> Call[Digest]:
    """Make the call that answers `task` over documents with quotes and their places.

    `places` are folders, patterns and files; `by` is a model or its address; `most` is the
    greatest number of statements; `size_tokens` the size of a chunk, estimated; `watch` is
    told of each step forward, as a part. Under an explicit `Runtime` add `limits()` to its
    limits. Raises ValueError for an empty task, a number below 1 or an unknown model.
    """
    if not task.strip():
        raise ValueError('task="" is empty; say what is asked, such as "What is this about?"')
    for name, value in (("most", most), ("size_tokens", size_tokens)):
        if value < 1:
            raise ValueError(f"{name}={value!r} is too small; it must be at least 1")
    chosen = model(by) if isinstance(by, str) else by
    job = Job(task.strip(), chosen, most, size_tokens, library or Files(), watch)
    return job.digest(tuple(places))
