"""A document that is in memory already, such as standard input, beside a library."""

from collections.abc import Iterable

from fanwise.documents._decode import decode, raw
from fanwise.documents._formats import format_named, guessed
from fanwise.documents._library import Library
from fanwise.documents._values import Document, Found, Gap, Raw


class Given:
    """A library and one document more, under a name of its own.

    `form` is one of `FORMATS`; `None`: guessed from the bytes. Raises ValueError for
    another one.
    """

    __slots__ = ("_form", "_loaded", "_name", "_others")

    def __init__(self, others: Library, name: str, data: bytes, form: str | None = None) -> None:
        """Keep the bytes beside the library `others`."""
        self._others = others
        self._name = name
        chosen = guessed(data) if form is None else format_named(form).name
        loaded = raw(name, data)
        self._loaded = loaded if isinstance(loaded, Gap) else Raw(name, data, chosen)

    def __repr__(self) -> str:
        """Name the document and the library."""
        return f"<Given {self._name!r} beside {self._others!r}>"

    def find(self, places: Iterable[str]) -> Found:
        """Give the documents of the places, of which one may be this document's name."""
        wanted = tuple(places)
        others = tuple(place for place in wanted if place != self._name)
        found = self._others.find(others) if others else Found(())
        own = (self._name,) if len(others) < len(wanted) else ()
        return Found(tuple(sorted((*found.names, *own))), found.gaps)

    def load(self, name: str) -> Raw | Gap:
        """Give the bytes of one document (see `Library`)."""
        return self._loaded if name == self._name else self._others.load(name)

    def read(self, name: str) -> Document | Gap:
        """Read one document (see `Library`)."""
        return decode(self.load(name))
