"""The handle of a batch job: a line of plain text with which any later process goes on.

`fanwise-batch:1:<requests>:<size>:<digest>:<batches>`: how many requests there are, at most how
many a provider's batch holds, a digest of the requests, and the providers' own handles in the order
in which they were made: `,` between the batches of a round, `+` between rounds. The first round
asks everything, each further one what expired in the one before, in the order of the input, cut at
`size`: so a handle says which request is where without naming any.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self
from urllib.parse import quote, unquote

from fanwise.core import digest_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fanwise.models._provider import Request

FORM = "fanwise-batch:1"


@dataclass(slots=True)
class BatchHandle:
    """How many requests, at most how many a batch, their digest, and the batches of each round."""

    requests: int
    size: int
    digest: str
    rounds: list[list[str]] = field(default_factory=list)

    @classmethod
    def of(cls, requests: Sequence[Request], size: int) -> Self:
        """Give the handle of requests that are not handed in yet."""
        counted = [
            (each.chat, [(t.name, t.description, t.schema) for t in each.tools], each.schema,
             each.max_tokens)
            for each in requests
        ]  # fmt: skip
        return cls(len(requests), size, digest_of(counted).hex()[:16])

    @classmethod
    def read(cls, text: str) -> Self:
        """Read a handle; raise ValueError for what is none, TypeError for what is no text."""
        if not isinstance(text, str):
            msg = f"handle is the text that on_handle was given ({FORM}:...), got {text!r}"
            raise TypeError(msg)
        form, _, rest = text.rpartition("fanwise-batch:1:")
        parts = rest.split(":")
        if form.strip() or len(parts) != 4 or not (parts[0].isdigit() and parts[1].isdigit()):
            msg = f"handle is the text that on_handle was given ({FORM}:...), got {text!r}"
            raise ValueError(msg)
        rounds = [[unquote(one) for one in each.split(",") if one] for each in parts[3].split("+")]
        return cls(int(parts[0]), int(parts[1]), parts[2], [each for each in rounds if each])

    @property
    def text(self) -> str:
        """The handle as a line that a shell takes without quotes."""
        rounds = "+".join(",".join(quote(one, safe="") for one in each) for each in self.rounds)
        return f"{FORM}:{self.requests}:{self.size}:{self.digest}:{rounds}"

    def check(self, requests: Sequence[Request]) -> None:
        """Raise ValueError where the handle is not of these requests."""
        other = type(self).of(requests, self.size)
        if (other.requests, other.digest) != (self.requests, self.digest):
            msg = (
                f"the handle is of {self.requests} other requests (digest {self.digest}) than the "
                f"{other.requests} given ({other.digest}): give the same items, in their order"
            )
            raise ValueError(msg)
