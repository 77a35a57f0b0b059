"""Where documents are: the protocol that the disk and its in-memory twin share."""

from collections.abc import Iterable
from typing import Protocol

from fanwise.documents._values import Document, Found, Gap, Raw


class Library(Protocol):
    """A place to find and read documents in. All methods block; run them in a thread."""

    def find(self, places: Iterable[str]) -> Found:
        """Give the documents of folders (recursively), patterns and single names, sorted.

        Hidden names are left out unless named. Never raises for what is on the disk:
        whatever cannot be found is a gap.
        """
        ...

    def load(self, name: str) -> Raw | Gap:
        """Give the bytes of one document and their format, or say as a gap why that cannot be."""
        ...

    def read(self, name: str) -> Document | Gap:
        """Load and decode one document, in this process."""
        ...
