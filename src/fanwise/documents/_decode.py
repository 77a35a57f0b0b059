"""Bytes made a document, or a gap that says what is wrong with them."""

from typing import Final

from fanwise.documents._formats import form_of, format_named
from fanwise.documents._values import Document, Gap, Raw, Reason

LARGEST: Final = 64 * 1024 * 1024
"""Bytes above which a file is not read."""


def raw(name: str, data: bytes) -> Raw | Gap:
    """Give a file's bytes their format, by its name or opening; none or too many are a gap."""
    if not data:
        return Gap(name, Reason.EMPTY, "0 bytes")
    if len(data) > LARGEST:
        return too_large(name, len(data))
    return Raw(name, data, form_of(name, data))


def decode(loaded: Raw | Gap) -> Document | Gap:
    """Make a document of what was loaded. Blocks: run it in a thread, or where `runs_apart` says.

    A PDF is read in this process, one at a time. Raises ValueError for an unknown format.
    """
    if isinstance(loaded, Gap):
        return loaded
    return format_named(loaded.form).decode(loaded.name, loaded.data)


def decode_again(loaded: Raw) -> Document | Gap:
    """Make a document of what took the process of `decode` down, or was killed: by other means.

    For PDF that is pypdf alone; for other formats there is none, and a gap says so.
    """
    again = format_named(loaded.form).again
    if again is None:
        return Gap(loaded.name, Reason.UNREADABLE, "its reader took too long, or broke down")
    return again(loaded.name, loaded.data)


def runs_apart(loaded: Raw) -> bool:
    """Tell whether decoding belongs in another process: for PDF always, for HTML if it is large."""
    least = format_named(loaded.form).apart_from
    return least is not None and len(loaded.data) >= least


def too_large(name: str, size: int) -> Gap:
    """Say that a file is too large to be read."""
    return Gap(name, Reason.TOO_LARGE, f"{size:,} bytes; at most {LARGEST:,} are read")
