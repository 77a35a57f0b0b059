"""The lines of a text with their places, as the block scanners read them."""

from typing import Final

BOM: Final = "\ufeff"


class Lines:
    """The lines of one text: content without the line end, indent and offset of each.

    Only line feeds (also after a carriage return) end a line. `above[i]` is the
    number of the last line before `i` that is not blank, or -1.
    """

    __slots__ = ("above", "indents", "starts", "texts")

    def __init__(self, text: str) -> None:
        """Cut `text` into lines in one pass."""
        self.texts: list[str] = []
        self.starts: list[int] = []
        self.indents: list[int] = []
        self.above: list[int] = []
        offset, above = 0, -1
        for number, line in enumerate(text.split("\n")):
            content = line.rstrip()
            bare = content.lstrip(BOM) if number == 0 else content
            stripped = bare.lstrip()
            self.texts.append(stripped)
            self.indents.append(len(bare) - len(stripped))
            self.starts.append(offset + len(content) - len(stripped))
            self.above.append(above)
            above = number if stripped else above
            offset += len(line) + 1

    def __len__(self) -> int:
        """Count the lines, blank ones included."""
        return len(self.texts)

    def __repr__(self) -> str:
        """Say how many lines there are."""
        return f"<Lines {len(self.texts)}>"

    def end(self, number: int) -> int:
        """Give the offset behind the last character of a line that is not a blank."""
        return self.starts[number] + len(self.texts[number])

    def while_deeper(self, number: int, indent: int) -> int:
        """Find the line behind the last one, from `number` on, indented more than `indent`.

        Blank lines between two such lines belong to them; those at the end do not.
        """
        stop = number
        for at in range(number, len(self.texts)):
            if not self.texts[at]:
                continue
            if self.indents[at] <= indent:
                break
            stop = at + 1
        return stop

    def while_filled(self, number: int) -> int:
        """Find the first blank line from `number` on, or the end."""
        at = number
        while at < len(self.texts) and self.texts[at]:
            at += 1
        return at
