"""Documents in memory: the twin of the disk, for tests and for text that is no file."""

from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase

from fanwise.documents._decode import decode, raw
from fanwise.documents._formats import SUFFIXES, is_document
from fanwise.documents._values import Document, Found, Gap, Raw, Reason


class Memory:
    """A mapping from name to bytes, as a library of documents.

    A name with `/` is in folders. `broken` names what is there and cannot be read, with
    the reason: a dangling link, say.
    """

    __slots__ = ("_broken", "_files")

    def __init__(
        self, files: Mapping[str, bytes], *, broken: Mapping[str, Reason] | None = None
    ) -> None:
        """Keep a copy of both mappings."""
        self._files = dict(files)
        self._broken = dict(broken or {})

    def __repr__(self) -> str:
        """Say how many files there are."""
        return f"<Memory {len(self._files)} files, {len(self._broken)} broken>"

    def find(self, places: Iterable[str]) -> Found:
        """Give the documents of folders, patterns and single names (see `Library`)."""
        names: dict[str, None] = {}
        gaps: dict[str, Gap] = {}
        for place in places:
            for found in self._found_at(place):
                if isinstance(found, Gap):
                    gaps.setdefault(found.name, found)
                else:
                    names.setdefault(found)
        return Found(tuple(sorted(names)), tuple(gaps[name] for name in sorted(gaps)))

    def load(self, name: str) -> Raw | Gap:
        """Give the bytes of one document (see `Library`)."""
        if name in self._broken:
            return Gap(name, self._broken[name])
        if name not in self._files:
            return Gap(name, Reason.NOT_FOUND, "no such file or folder")
        return raw(name, self._files[name])

    def read(self, name: str) -> Document | Gap:
        """Read one document (see `Library`)."""
        return decode(self.load(name))

    def _found_at(self, place: str) -> Iterator[str | Gap]:
        everything = sorted((*self._files, *self._broken))
        below = "" if place == "." else place.rstrip("/") + "/"
        inside = [name for name in everything if name.startswith(below) and name != place]
        if place in everything:
            yield self._single(place)
        elif inside:
            yield from self._in_folder(place, below, inside)
        else:
            yield from self._matching(place, everything)

    def _single(self, name: str) -> str | Gap:
        reason = self._broken.get(name)
        at_once = (Reason.DANGLING_LINK, Reason.LINK_LOOP)
        return Gap(name, reason) if reason is not None and reason in at_once else name

    def _in_folder(self, place: str, below: str, inside: list[str]) -> Iterator[str | Gap]:
        shown = [n for n in inside if is_document(n) and not _hidden(n.removeprefix(below))]
        if not shown:
            yield Gap(place, Reason.NO_DOCUMENTS, f"no {', '.join(SUFFIXES)} below it")
        yield from map(self._single, shown)

    def _matching(self, pattern: str, everything: list[str]) -> Iterator[str | Gap]:
        matches = [name for name in everything if _matches(name, pattern)]
        if not matches:
            wild = set("*?[").intersection(pattern)
            seen = "no file matches" if wild else "no such file or folder"
            yield Gap(pattern, Reason.NOT_FOUND, seen)
        yield from map(self._single, matches)


def _hidden(path: str) -> bool:
    return any(part.startswith(".") for part in path.split("/"))


def _matches(name: str, pattern: str) -> bool:
    """Match part by part, as the shell does: `*` stays in its folder, `**` does not."""
    return _parts_match(name.split("/"), pattern.split("/"))


def _parts_match(parts: list[str], wanted: list[str]) -> bool:
    if not wanted:
        return not parts
    if wanted[0] == "**":
        return any(_parts_match(parts[skip:], wanted[1:]) for skip in range(len(parts) + 1))
    if not parts or (parts[0].startswith(".") and not wanted[0].startswith(".")):
        return False
    return fnmatchcase(parts[0], wanted[0]) and _parts_match(parts[1:], wanted[1:])
