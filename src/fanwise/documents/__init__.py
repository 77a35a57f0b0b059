"""Documents found and read; whatever cannot be read is a gap with a named reason."""

from fanwise.documents._files import Files
from fanwise.documents._formats import SUFFIXES
from fanwise.documents._library import Library
from fanwise.documents._memory import Memory
from fanwise.documents._values import Document, Found, Gap, Reason

__all__ = ["SUFFIXES", "Document", "Files", "Found", "Gap", "Library", "Memory", "Reason"]
