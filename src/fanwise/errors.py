"""Everything that Fanwise raises, as one tree: see `fanwise.core._errors` for its drawing."""

from fanwise.core import (
    BreakerOpen,
    CallDropped,
    CallSkipped,
    CircularWait,
    DeadlinePassed,
    FanwiseError,
    IdentityClash,
    LimitError,
    LimitHeld,
    LimitUnknown,
    LoopBlocked,
    NotCanonical,
    NotDone,
    NotEnough,
    PoolError,
    PoolUnknown,
    RecordDamaged,
    RemoteError,
    StepTimedOut,
    StrayCancel,
    StreamTaken,
    TimedOut,
    WorkerDied,
    WorkerNotStarted,
    WriteRefused,
    WrongLength,
)

__all__ = [
    "BreakerOpen", "CallDropped", "CallSkipped", "CircularWait", "DeadlinePassed", "FanwiseError",
    "IdentityClash", "LimitError", "LimitHeld", "LimitUnknown", "LoopBlocked", "NotCanonical",
    "NotDone", "NotEnough", "PoolError", "PoolUnknown", "RecordDamaged", "RemoteError",
    "StepTimedOut", "StrayCancel", "StreamTaken", "TimedOut", "WorkerDied", "WorkerNotStarted",
    "WriteRefused", "WrongLength",
]  # fmt: skip
