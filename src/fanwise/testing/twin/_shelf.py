"""What a provider keeps between requests: batches, files, and earlier responses."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from fanwise.testing.twin._batches import BatchPace, BatchRequest, Job, draw_order
from fanwise.testing.twin._http import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fanwise.testing.twin._engine import Twin
    from fanwise.testing.twin._http import Request
    from fanwise.testing.twin._values import Json, Part

_CONVERSATIONS = 1000


class Kept(Protocol):
    """What is kept for a key, and can be listed page by page."""

    @property
    def id(self) -> str:
        """The name under which it is asked for."""

    @property
    def key(self) -> str:
        """The key of the caller to whom it belongs."""


_K = TypeVar("_K", bound=Kept)


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file as it was uploaded or written by a batch; `created` is in seconds since 1970."""

    id: str
    name: str
    purpose: str
    content: bytes
    created: int
    key: str


@dataclass(frozen=True, slots=True)
class Conversation:
    """A response that was kept, and all that was said up to its end."""

    id: str
    key: str
    parts: tuple[Part, ...]
    response: Json


class Shelf:
    """The things that a twin keeps. All but the latest thousand responses stay until deleted."""

    __slots__ = ("_numbers", "files", "jobs", "pace", "responses")

    pace: BatchPace

    def __init__(self, pace: BatchPace | None = None) -> None:
        self.pace = pace or BatchPace()
        self.jobs: dict[str, Job] = {}
        self.files: dict[str, StoredFile] = {}
        self.responses: dict[str, Conversation] = {}
        self._numbers = itertools.count(1)

    def __repr__(self) -> str:
        """Show how much is kept."""
        kept = f"{len(self.jobs)} batches, {len(self.files)} files"
        return f"<Shelf {kept}, {len(self.responses)} responses>"

    def number(self) -> int:
        """Give the next number, from which an id is made."""
        return next(self._numbers)

    def open(self, twin: Twin, prefix: str, requests: tuple[BatchRequest, ...], key: str) -> Job:
        """Take a batch."""
        name = twin.name(prefix, self.number())
        order = draw_order(len(requests), f"{twin.seed}:{name}")
        job = Job(name, twin.now(), twin.wall(), requests, self.pace, order, key)
        self.jobs[name] = job
        return job

    def newest(self, prefix: str) -> list[Job]:
        """Return the batches of one provider, the newest first."""
        return [job for job in reversed(self.jobs.values()) if job.id.startswith(prefix)]

    def keep(self, twin: Twin, name: str, purpose: str, content: bytes, key: str) -> StoredFile:
        """Take a file."""
        found = twin.name("file-", self.number())
        file = StoredFile(found, name, purpose, content, int(twin.wall()), key)
        self.files[found] = file
        return file

    def remember(self, response: Json, parts: tuple[Part, ...], key: str) -> None:
        """Keep a response, so that a later one can go on from it."""
        self.responses[response["id"]] = Conversation(response["id"], key, parts, response)
        while len(self.responses) > _CONVERSATIONS:
            del self.responses[next(iter(self.responses))]


def owned(kept: Mapping[str, _K], name: str, key: str, what: str) -> _K:
    """Return what a key has kept under an id; raises Refused (404) where there is none."""
    found = kept.get(name)
    if found is None or found.key != key:
        raise Refused(404, "missing", f"No {what} found with id '{name}'.")
    return found


def page(kept: Sequence[_K], request: Request, after: str, most: int) -> tuple[list[_K], bool]:
    """Cut out the page that a request asks for, and tell whether more follow.

    `after` is the name of the field with the id after which to go on; `before_id` goes back.
    """
    limit = request.query.get("limit", "20")
    if not limit.isdecimal() or not 1 <= int(limit) <= most:
        raise Refused(400, "invalid", f"must be between 1 and {most}", param="limit")
    names = [each.id for each in kept]
    if (before := request.query.get("before_id")) is not None:
        end = _place(names, before, "before_id")
        start = max(0, end - int(limit))
        return list(kept[start:end]), start > 0
    last = request.query.get(after)
    start = 0 if last is None else _place(names, last, after) + 1
    end = start + int(limit)
    return list(kept[start:end]), end < len(kept)


def _place(names: list[str], name: str, param: str) -> int:
    if name not in names:
        raise Refused(400, "invalid", f"no such id: {name!r}", param=param)
    return names.index(name)
