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
    RecordDamaged,
    StepTimedOut,
    StrayCancel,
    StreamTaken,
    TimedOut,
    WriteRefused,
)

__all__ = [
    "BreakerOpen", "CallDropped", "CallSkipped", "CircularWait", "DeadlinePassed", "FanwiseError",
    "IdentityClash", "LimitError", "LimitHeld", "LimitUnknown", "LoopBlocked", "NotCanonical",
    "NotDone", "NotEnough", "RecordDamaged", "StepTimedOut", "StrayCancel", "StreamTaken",
    "TimedOut", "WriteRefused",
]  # fmt: skip
