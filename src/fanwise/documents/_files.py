"""Documents on a disk."""

import glob
import os
import stat
from collections.abc import Iterable, Iterator
from os import DirEntry
from pathlib import Path
from typing import Final

from fanwise.documents._decode import LARGEST, decode, raw, too_large
from fanwise.documents._formats import SUFFIXES, is_document
from fanwise.documents._values import Document, Found, Gap, Raw, Reason

_MAGIC: Final = frozenset("*?[")


class Files:
    """The files of this machine, as a library of documents.

    Names are those given, normalised, with `/`; a folder's documents are named below it.
    Links to folders are followed; one that leads back to a folder around it is a gap, and
    a folder that is reached twice is read once.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        """Name the class; it has no state."""
        return "Files()"

    def find(self, places: Iterable[str]) -> Found:
        """Give the documents of folders, patterns and single files (see `Library`)."""
        names: dict[str, None] = {}
        gaps: dict[str, Gap] = {}
        for place in places:
            for found in _found_at(os.path.expanduser(place)):
                if isinstance(found, Gap):
                    gaps.setdefault(found.name, found)
                else:
                    names.setdefault(found)
        return Found(tuple(sorted(names)), tuple(gaps[name] for name in sorted(gaps)))

    def load(self, name: str) -> Raw | Gap:
        """Give the bytes of one file (see `Library`)."""
        path = Path(name)
        try:
            state = path.stat()
            if not stat.S_ISREG(state.st_mode):
                return Gap(name, Reason.NOT_A_FILE, _kind(state.st_mode))
            if state.st_size > LARGEST:
                return too_large(name, state.st_size)
            return raw(name, path.read_bytes())
        except OSError as error:
            return _gap(name, error)

    def read(self, name: str) -> Document | Gap:
        """Read one file (see `Library`)."""
        return decode(self.load(name))


def _found_at(place: str) -> Iterator[str | Gap]:
    """Give what one argument stands for."""
    if os.path.isdir(place):
        yield from _in_folder(place)
    elif os.path.lexists(place) or not _MAGIC.intersection(place):
        yield _single(place)
    else:
        yield from _matching(place)


def _single(place: str) -> str | Gap:
    name = _name(place)
    try:
        os.stat(place)
    except OSError as error:
        return _gap(name, error)
    return name


def _matching(pattern: str) -> Iterator[str | Gap]:
    """Give the files that match a pattern, and the documents of folders that match."""
    matches = sorted(glob.glob(pattern, recursive=True))
    if not matches:
        yield Gap(pattern, Reason.NOT_FOUND, "no file matches")
    for match in matches:
        if not os.path.isdir(match):
            yield _single(match)
        elif not pattern.rstrip("/").endswith("**"):
            yield from _in_folder(match)


def _in_folder(place: str) -> Iterator[str | Gap]:
    """Give the documents below a folder, and a gap where there is none."""
    count = 0
    for found in _below(place, frozenset(), set()):
        count += 1
        yield found
    if count == 0:
        yield Gap(_name(place), Reason.NO_DOCUMENTS, f"no {', '.join(SUFFIXES)} below it")


def _below(
    place: str, around: frozenset[tuple[int, int]], seen: set[tuple[int, int]]
) -> Iterator[str | Gap]:
    """Walk a folder; `around` are the folders above it, `seen` all that were entered."""
    try:
        state = os.stat(place)
        here = (state.st_dev, state.st_ino)
        if here in around:
            yield Gap(_name(place), Reason.LINK_LOOP, f"leads to {os.path.realpath(place)}")
            return
        if here in seen:
            return
        seen.add(here)
        with os.scandir(place) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        yield _gap(_name(place), error)
        return
    for entry in listed:
        if not entry.name.startswith("."):
            yield from _entry(entry, around | {here}, seen)


def _entry(
    entry: DirEntry[str], around: frozenset[tuple[int, int]], seen: set[tuple[int, int]]
) -> Iterator[str | Gap]:
    if os.path.isdir(entry.path):  # is_dir() raises for a link that leads to itself
        yield from _below(entry.path, around, seen)
    elif is_document(entry.name):
        yield _single(entry.path)


def _name(place: str) -> str:
    return os.path.normpath(place).replace(os.sep, "/")


def _kind(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "a folder"
    return "a pipe" if stat.S_ISFIFO(mode) else "a device or socket"


def _gap(name: str, error: OSError) -> Gap:
    """Name the reason behind an error of the operating system."""
    if isinstance(error, FileNotFoundError):
        if os.path.islink(name):
            return Gap(name, Reason.DANGLING_LINK, f"to {os.readlink(name)}")
        return Gap(name, Reason.NOT_FOUND, "no such file or folder")
    if isinstance(error, PermissionError):
        return Gap(name, Reason.UNREADABLE, "permission denied")
    if os.path.islink(name) and "symbolic links" in str(error):
        return Gap(name, Reason.LINK_LOOP, f"to {os.readlink(name)}")
    return Gap(name, Reason.UNREADABLE, error.strerror or str(error))
