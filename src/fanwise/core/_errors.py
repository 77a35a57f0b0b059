"""What can go wrong, as one tree.

FanwiseError
├── NotEnough            a fan-in ended below its `need`; `.found` has what finished
├── CallDropped          asked for after its last watcher had left
├── CallSkipped          never started: its fan-in closed, or the runtime drains
├── StreamTaken          a stream has one reader, and its items went to that one
├── StrayCancel          a step raised a CancelledError that nobody sent
├── CircularWait         a call awaits its own ancestor, or two await each other
├── BreakerOpen          the step's breaker refuses calls for now
├── LimitError
│   ├── LimitHeld        a call asks for a width which an ancestor holds
│   ├── LimitTooSmall    an attempt needs more than the limit's bucket ever holds
│   ├── LimitTooSlow     the wait for a limit would end after the deadline
│   ├── LimitUnavailable the server on which a shared limit stands refuses it for good
│   └── LimitUnknown     no definition for the name under an explicit Runtime
├── BudgetError
│   ├── BudgetSpent      not enough is left (also CallSkipped: the call was not begun)
│   ├── BudgetHeld       it would wait for what one who waits for it has reserved
│   ├── BudgetUndeclared a step uses tokens and does not say how many at most
│   └── BudgetUnpriced   nobody knows what the tokens of its model cost
├── PoolError
│   ├── PoolUnknown      a step names a pool that the runtime does not have
│   ├── WorkerNotStarted a worker process ended before it could take any call
│   └── WorkerDied       a worker process ended while it ran the call
├── RecordedFailure      stands for a failure in a journal that cannot be made again
├── RemoteError          stands for an exception of a worker that cannot be brought over
├── WriteRefused         a write where only reads may be: in a race, or without a digest
├── WrongLength          a step gave another number of values than its batch has
├── NotDone              raised by a step: the write did certainly not happen
├── NotCanonical         an argument that cannot be part of a call's identity
├── IdentityClash        equal calls from two tasks of one step, under a journal
├── RecordDamaged        a record that is not readable as one
└── JournalError
    ├── JournalFailed    the journal cannot be written or read: nothing more is acknowledged
    ├── JournalDamaged   what it holds is not what was written, or of another format
    ├── RunBusy          another runtime has the run
    ├── ProgramChanged   a run goes on with other code, and a call differs
    ├── NotStorable      a step's result is of a type that a journal cannot keep
    └── Unresolved       a write was begun, and nobody knows whether it happened

RuntimeWarning
└── LoopBlocked          a step keeps the event loop from turning

TimeoutError
└── TimedOut (also FanwiseError)
    ├── StepTimedOut     an attempt, or the wait for an item, took longer than the timeout
    └── DeadlinePassed   `with deadline(...)` ran out
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fanwise.core._outcomes import FanIn


class FanwiseError(Exception):
    """Every error that Fanwise raises of its own."""


class NotEnough(FanwiseError):
    """Fewer branches succeeded than the fan-in needs.

    `found` is the `FanIn` with everything that did finish; `__cause__` is the failure that came
    first.
    """

    found: FanIn[Any]

    def __init__(self, message: str, found: FanIn[Any]) -> None:
        """Keep what finished beside the message."""
        super().__init__(message)
        self.found = found


class CallDropped(FanwiseError):
    """The call was cancelled when its last watcher left; a call runs once, so it has no value."""


class CallSkipped(FanwiseError):
    """The call was never started."""


class StreamTaken(FanwiseError):
    """The items of a stream went, or go, to its one reader: nobody else can have them."""


class StrayCancel(FanwiseError):
    """A step raised a `CancelledError` that nobody had sent: a failure of that step alone."""


class CircularWait(FanwiseError):
    """Waiting here would never end, since the other side waits for this one."""


class BreakerOpen(FanwiseError):
    """The step failed too often lately; `retry_in` is the wait until the next probe, in seconds."""

    retry_in: float

    def __init__(self, message: str, retry_in: float) -> None:
        """Keep the wait beside the message."""
        super().__init__(message)
        self.retry_in = retry_in


class LimitError(FanwiseError):
    """A limit refuses; never retried."""


class LimitHeld(LimitError):
    """A call asks for a width which an ancestor of it holds: it would wait for itself."""


class LimitTooSmall(LimitError):
    """An attempt needs `needed` of a rate whose bucket never holds more than `size`."""

    needed: float
    size: float

    def __init__(self, message: str, needed: float, size: float) -> None:
        """Keep both numbers beside the message."""
        super().__init__(message)
        self.needed = needed
        self.size = size


class LimitTooSlow(LimitError):
    """The wait for a limit is `wait` seconds at least, and the deadline comes after `left`."""

    wait: float
    left: float

    def __init__(self, message: str, wait: float, left: float) -> None:
        """Keep both numbers beside the message."""
        super().__init__(message)
        self.wait = wait
        self.left = left


class LimitUnavailable(LimitError):
    """Where a shared limit stands it is refused: a password, a right, a server that is too old."""


class LimitUnknown(LimitError):
    """A step names a limit that the explicit `Runtime` does not define."""


class BudgetError(FanwiseError):
    """A budget refuses; never retried."""


class BudgetSpent(BudgetError, CallSkipped):
    """Not even if all that is reserved flowed back would enough of a budget be left.

    `budget` is its name; `asked` and `left` are amounts, as tokens or dollars, in words.
    """

    budget: str
    asked: str
    left: str

    def __init__(self, message: str, budget: str, asked: str, left: str) -> None:
        """Keep what was asked beside the message."""
        super().__init__(message)
        self.budget = budget
        self.asked = asked
        self.left = left


class BudgetHeld(BudgetError):
    """A call waits for a part of a budget which one who waits for that call has reserved."""


class BudgetUndeclared(BudgetError):
    """A step uses tokens under a budget, and does not say how many an attempt uses at most."""


class BudgetUnpriced(BudgetError):
    """A budget is in dollars, and nobody knows what the tokens of a model cost."""


class PoolError(FanwiseError):
    """A pool cannot do what is asked of it."""


class PoolUnknown(PoolError):
    """A step names a pool that its runtime does not have."""


class WorkerNotStarted(PoolError):
    """A worker process ended before it could take any call; never retried."""


class WorkerDied(PoolError):
    """A worker process ended while it ran the call: killed, or crashed.

    `exit_code` is that of the process, negative where a signal ended it, `None` if unknown. Retried
    as what may pass; a write that ended so is ambiguous.
    """

    exit_code: int | None

    def __init__(self, message: str, exit_code: int | None = None) -> None:
        """Keep the exit code beside the message."""
        super().__init__(message)
        self.exit_code = exit_code


class RemoteError(FanwiseError):
    """Stands for an exception of a worker process that cannot be pickled; its text tells all."""


class WriteRefused(FanwiseError):
    """A call with `effect="write"` stands where only reads may be."""


class WrongLength(FanwiseError, ValueError):
    """A step after a `batch` gave no list, or one of another length: whose value is whose?"""


class NotDone(FanwiseError):
    """Raised by a step or an adapter: the write did certainly not happen and may be sent again."""


class NotCanonical(FanwiseError, TypeError):
    """An argument that has no canonical form, so that the call has no identity."""


class IdentityClash(FanwiseError):
    """Equal calls were made from two tasks of one step, so their order is an accident."""


class JournalError(FanwiseError):
    """A journal refuses; never retried."""


class JournalFailed(JournalError):
    """The journal cannot be written or read, so that nothing more of the run counts."""


class JournalDamaged(JournalError):
    """A journal holds something else than what was written, or is of a format not known here."""


class RunBusy(JournalError):
    """Another runtime, of this process or another, has the run; two would act twice."""


class ProgramChanged(JournalError):
    """A run goes on with a program in which a call differs from the one that is in the journal."""


class NotStorable(JournalError, TypeError):
    """A step gives what a journal cannot keep and give again as it was."""


class RecordedFailure(FanwiseError):
    """Stands for a failure of an earlier execution, whose class is not known or not that simple."""


class Unresolved(JournalError):
    """A write was begun and has no result: whether it happened, somebody outside must say.

    `run` is the run's id and `key` the call's, as `fanwise runs resolve` takes them.
    """

    run: str
    key: str

    def __init__(self, message: str, run: str, key: str) -> None:
        """Keep what names the call beside the message."""
        super().__init__(message)
        self.run = run
        self.key = key


class RecordDamaged(FanwiseError, ValueError):
    """The file is not a record, or is damaged before its last line."""


class TimedOut(FanwiseError, TimeoutError):
    """Time ran out."""


class StepTimedOut(TimedOut):
    """One attempt took longer than the step's `timeout`, or did not give an item in time.

    `call` is the call's id in the record.
    """

    call: int | None

    def __init__(self, message: str, call: int | None = None) -> None:
        """Keep whose attempt it was beside the message."""
        super().__init__(message)
        self.call = call


class DeadlinePassed(TimedOut):
    """The time of a `with deadline(...)` block, or of what encloses it, ran out."""


class LoopBlocked(RuntimeWarning):
    """Something keeps the event loop from turning: nothing else of the loop gets on meanwhile."""
