"""Text put together of extracted pieces, with the place of each in the original."""

from typing import Literal

from fanwise.documents._values import Origin


class Assembly:
    """A growing text whose pieces know the page or line that they come from."""

    __slots__ = ("_length", "_numbers", "_parts", "_starts", "_unit")

    def __init__(self, unit: Literal["page", "line"]) -> None:
        """Begin with nothing."""
        self._unit: Literal["page", "line"] = unit
        self._parts: list[str] = []
        self._length = 0
        self._starts: list[int] = []
        self._numbers: list[int] = []

    def __repr__(self) -> str:
        """Say how long the text is."""
        return f"<Assembly {self._length} characters>"

    def add(self, text: str, number: int) -> None:
        """Add a piece that stands on this page or line of the original."""
        if not self._numbers or self._numbers[-1] != number:
            self._starts.append(self._length)
            self._numbers.append(number)
        self._parts.append(text)
        self._length += len(text)

    def glue(self, text: str) -> None:
        """Add what stands nowhere in the original, such as blanks; nothing at the beginning."""
        if self._parts:
            self._parts.append(text)
            self._length += len(text)

    def text(self) -> str:
        """Give the text, which ends in a line feed."""
        return "".join(self._parts) + "\n"

    def origin(self) -> Origin:
        """Give the places of all pieces."""
        return Origin(self._unit, tuple(self._starts), tuple(self._numbers))
