"""What a provider's batch API does: many requests handed in at once, answered within hours."""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from fanwise.models._answer import Answer
from fanwise.models._provider import Request

BatchState = Literal["running", "cancelling", "ended"]
"""Whether a batch is worked on, is being cancelled, or has its results ready to be read."""


@dataclass(frozen=True, slots=True)
class BatchStatus:
    """How far a batch is; the counts are those that the provider tells, 0 where it does not yet.

    `ended` is said of every end: complete, expired, cancelled or refused as a whole; `why` then
    says in words what went wrong with the batch itself, if anything did.
    """

    state: BatchState
    requests: int
    answered: int = 0
    failed: int = 0
    why: str = ""

    @property
    def ended(self) -> bool:
        """Whether its results may be read."""
        return self.state == "ended"


BatchOutcome = Answer[str] | Exception | Literal["expired", "cancelled"]
"""What became of one request: an answer, the provider's error, or nothing within its time."""


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What became of the request `custom_id` of a batch.

    An error carries `status_code`, as those of live requests do, so that it is retried as they are.
    """

    custom_id: str
    outcome: BatchOutcome


@runtime_checkable
class BatchProvider(Protocol):
    """An adapter that also speaks its provider's batch API; a batch belongs to one model.

    The handle is a plain text that any later process may use with the same model and key. Nothing
    here waits for a batch, resubmits or retries: that is for who calls.
    """

    @property
    def name(self) -> str:
        """The model's address, as that of the `Provider`."""
        ...

    async def submit(self, requests: Mapping[str, Request], /) -> str:
        """Hand in requests by their custom ids and give the handle of the batch.

        Raises ValueError for no requests and for an id that is not 1 to 64 of `[A-Za-z0-9_-]`.
        Cancelled, it may or may not have happened.
        """
        ...

    async def status(self, handle: str, /) -> BatchStatus:
        """Say how far the batch is."""
        ...

    def results(self, handle: str, /) -> AsyncGenerator[BatchResult]:
        """Give what became of its requests, in any order.

        Raises ValueError while the batch is not ended. A request of which the provider says nothing
        does not appear.
        """
        ...

    async def cancel(self, handle: str, /) -> None:
        """Ask the provider to stop; what is answered by then is still given by `results`."""
        ...
