"""Bytes made a document, or a gap that says what is wrong with them."""

from typing import Final

from fanwise.documents._formats import format_of
from fanwise.documents._values import Document, Gap, Reason

LARGEST: Final = 64 * 1024 * 1024
"""Bytes above which a file is not read."""

_SAMPLE: Final = 8192
_CONTROLS: Final = frozenset(range(32)) - frozenset(b"\t\n\r\f\v\b\x1b")
_MOST_CONTROLS: Final = 0.02


def decode(name: str, data: bytes) -> Document | Gap:
    """Make a document of a file's bytes, which must be UTF-8 and not blank.

    A NUL, or more than 2 % of other control bytes in the first 8 KiB, is binary.
    """
    if not data:
        return Gap(name, Reason.EMPTY, "0 bytes")
    if len(data) > LARGEST:
        return too_large(name, len(data))
    if _is_binary(data):
        return Gap(name, Reason.BINARY, f"{len(data):,} bytes that are not text")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        seen = f"byte 0x{data[error.start]:02x} at offset {error.start}"
        return Gap(name, Reason.NOT_UTF8, seen)
    if not text.strip("\ufeff \t\r\n\f\v"):
        return Gap(name, Reason.EMPTY, "only blanks")
    form = format_of(name)
    return Document(name, text, form.markup, form.title(text))


def too_large(name: str, size: int) -> Gap:
    """Say that a file is too large to be read."""
    return Gap(name, Reason.TOO_LARGE, f"{size:,} bytes; at most {LARGEST:,} are read")


def _is_binary(data: bytes) -> bool:
    sample = data[:_SAMPLE]
    if b"\0" in data:
        return True
    return sum(byte in _CONTROLS for byte in sample) > len(sample) * _MOST_CONTROLS
