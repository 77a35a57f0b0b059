"""What a digest tells of itself while it goes on."""

from fanwise.digest import Part


class Progress:
    """Adds up what a digest tells."""

    def __init__(self) -> None:
        """Start counting."""
        self._documents = self._chunks = self._answered = self._missing = 0

    def __repr__(self) -> str:
        """Show the counts."""
        return f"<Progress {self.text()}>"

    def __call__(self, part: Part) -> None:
        """Take one step forward."""
        self._documents += part.documents
        self._chunks += part.chunks
        self._answered += part.answered
        self._missing += len(part.missing)

    def text(self) -> str:
        """Give the counts in a line."""
        read = f"{self._documents:,} documents read"
        done = f"{self._answered:,} of {self._chunks:,} chunks done"
        return f"{read}, {done}" + (f", {self._missing:,} missing" if self._missing else "")
