"""What a model is asked, and what it answers."""

from dataclasses import dataclass

from fanwise.text import Markup


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a document that is handed to a model.

    `source` names the document, `heading` the path of headings over the piece (the
    document's title first, where it has one), `offset` the character at which the piece
    starts there (`None`: not known), `markup` how the text is written.
    """

    text: str
    source: str = ""
    heading: tuple[str, ...] = ()
    offset: int | None = None
    markup: Markup = "plain"


@dataclass(frozen=True, slots=True)
class Prompt:
    """A task over numbered passages.

    `instructions` say how to answer, in words; `most` is the greatest number of
    statements wanted, `None` for no bound. `shared` is a text that many prompts begin with, word
    for word; it is sent first and marked for the provider's cache.
    """

    task: str
    passages: tuple[Passage, ...] = ()
    instructions: str = ""
    most: int | None = None
    shared: str = ""

    def __post_init__(self) -> None:
        """Refuse a task that is no text, and passages that are none."""
        for name, given in (("task", self.task), ("instructions", self.instructions)):
            if not isinstance(given, str):
                msg = f"Prompt({name}=) is a str, got {given!r}"
                raise TypeError(msg)
        passages: object = self.passages
        if not isinstance(passages, tuple) or not all(isinstance(p, Passage) for p in passages):
            msg = (
                'Prompt(passages=) is a tuple of Passage, such as (Passage("text"),), '
                f"got {passages!r}"
            )
            raise TypeError(msg)

    def __repr__(self) -> str:
        """Show the task and the number of passages, not their texts."""
        return f"<Prompt {self.task!r} over {len(self.passages)} passages>"

    def text(self) -> str:
        """Write the prompt out, passages numbered from 1, for a model that reads text."""
        parts = [f"Task: {self.task}"]
        if self.instructions:
            parts.append(self.instructions)
        parts.extend(_numbered(n, passage) for n, passage in enumerate(self.passages, 1))
        return "\n\n".join(parts)


def _numbered(number: int, passage: Passage) -> str:
    place = " > ".join(filter(None, (passage.source, *passage.heading)))
    return f"[{number}]" + (f" ({place})" if place else "") + f"\n{passage.text}"
