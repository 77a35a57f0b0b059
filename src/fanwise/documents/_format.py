"""A document format: its name, the suffixes of its files, how its bytes are decoded."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from fanwise.documents._values import Document, Gap, Reason
from fanwise.text import Markup

_SAMPLE: Final = 8192
_CONTROLS: Final = frozenset(range(32)) - frozenset(b"\t\n\r\f\v\b\x1b")
_MOST_CONTROLS: Final = 0.02


@dataclass(frozen=True, slots=True)
class Format:
    """One format; `decode` takes a name and bytes, at least one, and blocks.

    From `apart_from` bytes on it belongs in another process (`None`: never): it may take its
    process down, or so long that it must be killed. Then `again`, where there is one, tries.
    """

    name: str
    suffixes: tuple[str, ...]
    decode: Callable[[str, bytes], Document | Gap]
    apart_from: int | None = None
    again: Callable[[str, bytes], Document | Gap] | None = None


def text_format(
    name: str, suffixes: tuple[str, ...], markup: Markup, title: Callable[[str], str]
) -> Format:
    """Make a format whose files are UTF-8, kept as they are; `title` gives "" where there is none.

    A NUL, or more than 2 % of other control bytes in the first 8 KiB, is binary.
    """

    def decode(name: str, data: bytes) -> Document | Gap:
        if is_binary(data):
            return not_text(name, data)
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError as error:
            seen = f"byte 0x{data[error.start]:02x} at offset {error.start}"
            return Gap(name, Reason.NOT_UTF8, seen)
        if not text.strip("\ufeff \t\r\n\f\v"):
            return Gap(name, Reason.EMPTY, "only blanks")
        return Document(name, text, markup, title(text))

    return Format(name, suffixes, decode)


def is_binary(data: bytes) -> bool:
    """Tell whether bytes are no text in any encoding that keeps ASCII."""
    if b"\0" in data:
        return True
    sample = data[:_SAMPLE]
    return sum(byte in _CONTROLS for byte in sample) > len(sample) * _MOST_CONTROLS


def not_text(name: str, data: bytes) -> Gap:
    """Say that a file is binary."""
    return Gap(name, Reason.BINARY, f"{len(data):,} bytes that are not text")
