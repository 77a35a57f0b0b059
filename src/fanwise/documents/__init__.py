"""Documents found and read; whatever cannot be read is a gap with a named reason."""

from fanwise.documents._decode import LARGEST, decode, decode_again, runs_apart
from fanwise.documents._files import Files
from fanwise.documents._formats import FORMATS, SUFFIXES
from fanwise.documents._given import Given
from fanwise.documents._library import Library
from fanwise.documents._memory import Memory
from fanwise.documents._values import Document, Found, Gap, Origin, Raw, Reason

__all__ = [
    "FORMATS",
    "LARGEST",
    "SUFFIXES",
    "Document",
    "Files",
    "Found",
    "Gap",
    "Given",
    "Library",
    "Memory",
    "Origin",
    "Raw",
    "Reason",
    "decode",
    "decode_again",
    "runs_apart",
]
