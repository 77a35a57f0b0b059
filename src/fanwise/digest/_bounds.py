"""What a digest is made within: its sizes, its time, and how much of it must be there."""

import math
from dataclasses import dataclass

from fanwise.patterns import check_quorum


@dataclass(frozen=True, slots=True)
class Bounds:
    """The bounds of a digest; each has a default.

    `most` is the greatest number of statements; `size_tokens` the size of a chunk,
    estimated; `arity` how many answers a merge takes, at least 2. `within` bounds the
    whole in seconds (`None`: no bound): then what is there is merged without asking. `need`
    says how many of the documents found make the digest usable: a count, a share such as
    "80%" or "all". Raises ValueError or TypeError, naming the argument.
    """

    most: int = 12
    size_tokens: int = 1500
    arity: int = 10
    within: float | None = None
    need: int | str = 1

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        for name, value, least in (
            ("most", self.most, 1),
            ("size_tokens", self.size_tokens, 1),
            ("arity", self.arity, 2),
        ):
            if value < least:
                raise ValueError(f"{name}={value!r} is too small; it must be at least {least}")
        if self.within is not None and not 0 <= self.within < math.inf:
            raise ValueError(
                f"within={self.within!r} is no length of time; give seconds, at least 0"
            )
        check_quorum("need", self.need)
