"""Models: what is asked and answered, the protocol of providers, and models by name."""

from fanwise.core import Need
from fanwise.models._answer import (
    Answer,
    Counted,
    Ended,
    Finish,
    Part,
    Piece,
    RawPiece,
    Text,
    ToolBegun,
    ToolText,
)  # fmt: skip
from fanwise.models._batch import BatchTerms, NotAnswered, ask_batch
from fanwise.models._batch_provider import (
    BatchOutcome,
    BatchProvider,
    BatchResult,
    BatchState,
    BatchStatus,
)  # fmt: skip
from fanwise.models._beta_binomial import Measured
from fanwise.models._broken import BrokenAnswer
from fanwise.models._cascade import Cascade, Level, Verdict, cascade
from fanwise.models._chat import Asked, Chat, Message, Role, ToolCall, ToolResult, as_chat
from fanwise.models._correlation import Case, Correlation, correlation
from fanwise.models._deployments import DeploymentStatistics
from fanwise.models._embedder import Embedded, Embedder, Embeds, Kind
from fanwise.models._ensemble import Ensemble, ensemble
from fanwise.models._failover import NoneAnswered
from fanwise.models._judge import Judgement
from fanwise.models._model import Model
from fanwise.models._named import embedder, model
from fanwise.models._opinions import ask_all, ballot
from fanwise.models._output import MalformedAnswer
from fanwise.models._prices import Price, Prices, known_prices, price_of
from fanwise.models._prices import Rates as PriceRates
from fanwise.models._prompt import Passage, Prompt
from fanwise.models._provider import Provider, Request, Streaming, ToolSpec
from fanwise.models._quotes import CONTRASTING, QUOTING, Quote, Quotes, read_quotes, write_quotes
from fanwise.models._rates import Rates, RatesListener, Room, read_rates
from fanwise.models._route import Choice, Route
from fanwise.models._shared_prefix import SharedAnswers, ask_shared
from fanwise.models._usage import Usage
from fanwise.text._estimates import Estimates, EstimateStatistics, known_estimates

__all__ = [
    "CONTRASTING", "QUOTING", "Answer", "Asked", "BatchOutcome", "BatchProvider", "BatchResult",
    "BatchState", "BatchStatus", "BatchTerms", "BrokenAnswer", "Cascade", "Case", "Chat", "Choice",
    "Correlation", "Counted", "DeploymentStatistics", "Embedded", "Embedder", "Embeds", "Ended",
    "Ensemble", "EstimateStatistics", "Estimates", "Finish", "Judgement", "Kind", "Level",
    "MalformedAnswer", "Measured", "Message", "Model", "Need", "NoneAnswered", "NotAnswered",
    "Part", "Passage", "Piece", "Price", "PriceRates", "Prices", "Prompt", "Provider", "Quote",
    "Quotes", "Rates", "RatesListener", "RawPiece", "Request", "Role", "Room", "Route",
    "SharedAnswers", "Streaming", "Text", "ToolBegun", "ToolCall", "ToolResult", "ToolSpec",
    "ToolText", "Usage", "Verdict", "as_chat", "ask_all", "ask_batch", "ask_shared", "ballot",
    "cascade", "correlation", "embedder", "ensemble", "known_estimates", "known_prices", "model",
    "price_of", "read_quotes", "read_rates", "write_quotes",
]  # fmt: skip
