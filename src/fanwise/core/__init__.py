"""The engine: step, call, policies, runtime, limits in process, record, plan hook.

Standard library only. The layers above import from here; users import from `fanwise`.
"""

from fanwise._version import __version__
from fanwise.core._away import (
    CurrentAway,
    Job,
    module_of,
    perform,
    plainly,
    reduced,
    refuse_while_importing,
)  # fmt: skip
from fanwise.core._blocking import watch
from fanwise.core._breaker import BreakerStatistics
from fanwise.core._budget import Budget, check_budget
from fanwise.core._cache_state import CacheStatistics
from fanwise.core._call import Call
from fanwise.core._canonical import digest_of
from fanwise.core._current import Current, current, hear_headers, reserve_again, reserve_ahead
from fanwise.core._deadline import deadline
from fanwise.core._engine import finish, give_task
from fanwise.core._errors import (
    BreakerOpen,
    BudgetError,
    BudgetHeld,
    BudgetSpent,
    BudgetUndeclared,
    BudgetUnpriced,
    CallDropped,
    CallSkipped,
    CircularWait,
    DeadlinePassed,
    FanwiseError,
    IdentityClash,
    JournalDamaged,
    JournalError,
    JournalFailed,
    LimitError,
    LimitHeld,
    LimitTooSlow,
    LimitTooSmall,
    LimitUnavailable,
    LimitUnknown,
    LoopBlocked,
    NotCanonical,
    NotDone,
    NotEnough,
    NotStorable,
    PoolError,
    PoolUnknown,
    ProgramChanged,
    RecordDamaged,
    RecordedFailure,
    RemoteError,
    RunBusy,
    StepTimedOut,
    StrayCancel,
    StreamTaken,
    TimedOut,
    Unresolved,
    WorkerDied,
    WorkerNotStarted,
    WriteRefused,
    WrongLength,
)  # fmt: skip
from fanwise.core._guesses import GuessStatistics
from fanwise.core._hedge_state import HedgeStatistics
from fanwise.core._identity import request_digest, take_position
from fanwise.core._limits import LimitStatistics
from fanwise.core._outcomes import FanIn, Landed, Outcome, Status
from fanwise.core._own_limit import OwnLimit
from fanwise.core._policies import (
    Breaker,
    Cache,
    Effect,
    Hedge,
    Limit,
    Policy,
    Retry,
    Timeout,
    at_least,
    plain_function,
    whole,
)  # fmt: skip
from fanwise.core._protocols import (
    PREPAID,
    Body,
    Drawn,
    Journal,
    Need,
    Plan,
)  # fmt: skip
from fanwise.core._races import RaceStatistics
from fanwise.core._record import (
    AttemptRow,
    CallRow,
    Header,
    Record,
    RunRecord,
    add_wait,
    microseconds,
    note,
)  # fmt: skip
from fanwise.core._run import Run
from fanwise.core._runtime import Runtime, current_runtime, run
from fanwise.core._runtime_statistics import RuntimeStatistics
from fanwise.core._scope import BODY, CURRENT, DEADLINE, READS_ONLY, Scope, is_hedge, waiting_call
from fanwise.core._settlement import Reader, Reading, Told
from fanwise.core._step import (
    BoundStep,
    BoundStreamStep,
    Decorator,
    Step,
    StreamStep,
    as_step,
    made_by,
    made_by_caller,
    name_of,
    step,
)  # fmt: skip
from fanwise.core._streams import Stream, StreamCall
from fanwise.core._timers import TimerQueue
from fanwise.core._transient import http_status, is_transient, retry_after
from fanwise.core._wakeup import woken_by_signals
from fanwise.core._watch import ask, begin, failure_of, leave
from fanwise.core._watchers import CALL_TYPES, LIVE, NO_KWARGS, Ending, Watcher, add_watcher, excuse

__all__ = [
    "BODY", "CALL_TYPES", "CURRENT", "DEADLINE", "LIVE", "NO_KWARGS", "PREPAID", "READS_ONLY",
    "AttemptRow", "Body", "BoundStep", "BoundStreamStep", "Breaker", "BreakerOpen",
    "BreakerStatistics", "Budget", "BudgetError", "BudgetHeld", "BudgetSpent", "BudgetUndeclared",
    "BudgetUnpriced", "Cache", "CacheStatistics", "Call", "CallDropped", "CallRow", "CallSkipped",
    "CircularWait", "Current", "CurrentAway", "DeadlinePassed", "Decorator", "Drawn", "Effect",
    "Ending", "FanIn", "FanwiseError", "GuessStatistics", "Header", "Hedge", "HedgeStatistics",
    "IdentityClash", "Job", "Journal", "JournalDamaged", "JournalError", "JournalFailed", "Landed",
    "Limit", "LimitError", "LimitHeld", "LimitStatistics", "LimitTooSlow", "LimitTooSmall",
    "LimitUnavailable", "LimitUnknown", "LoopBlocked", "Need", "NotCanonical", "NotDone",
    "NotEnough", "NotStorable", "Outcome", "OwnLimit", "Plan", "Policy", "PoolError",
    "PoolUnknown", "ProgramChanged", "RaceStatistics", "Reader", "Reading", "Record",
    "RecordDamaged", "RecordedFailure", "RemoteError", "Retry", "Run", "RunBusy", "RunRecord",
    "Runtime", "RuntimeStatistics", "Scope", "Status", "Step", "StepTimedOut", "StrayCancel",
    "Stream", "StreamCall", "StreamStep", "StreamTaken", "TimedOut", "Timeout", "TimerQueue",
    "Told", "Unresolved", "Watcher", "WorkerDied", "WorkerNotStarted", "WriteRefused",
    "WrongLength", "__version__", "add_wait", "add_watcher", "as_step", "ask", "at_least", "begin",
    "check_budget", "current", "current_runtime", "deadline", "digest_of", "excuse", "failure_of",
    "finish", "give_task", "hear_headers", "http_status", "is_hedge", "is_transient", "leave",
    "made_by", "made_by_caller", "microseconds", "module_of", "name_of", "note", "perform",
    "plain_function", "plainly", "reduced", "refuse_while_importing", "request_digest",
    "reserve_again", "reserve_ahead", "retry_after", "run", "step", "take_position",
    "waiting_call", "watch", "whole", "woken_by_signals",
]  # fmt: skip
