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
    NotCanonical,
    NotDone,
    NotEnough,
    RecordDamaged,
    StepTimedOut,
    StrayCancel,
    StreamTaken,
    TimedOut,
    WriteRefused,
    WrongLength,
)

__all__ = [
    "BreakerOpen", "CallDropped", "CallSkipped", "CircularWait", "DeadlinePassed", "FanwiseError",
    "IdentityClash", "LimitError", "LimitHeld", "LimitUnknown", "NotCanonical", "NotDone",
    "NotEnough", "RecordDamaged", "StepTimedOut", "StrayCancel", "StreamTaken",
    "TimedOut", "WriteRefused", "WrongLength",
]  # fmt: skip
