"""Models: what is asked and answered, the protocol of providers, and models by name."""

from fanwise.models._answer import (
    Answer,
    Ended,
    Finish,
    Part,
    Piece,
    RawPiece,
    Text,
    ToolBegun,
    ToolText,
)  # fmt: skip
from fanwise.models._beta_binomial import Measured
from fanwise.models._cascade import Cascade, Level, Verdict, cascade
from fanwise.models._chat import Asked, Chat, Message, Role, ToolCall, ToolResult, as_chat
from fanwise.models._correlation import Case, Correlation, correlation
from fanwise.models._ensemble import Ensemble, ensemble
from fanwise.models._judge import Judgement
from fanwise.models._model import Model, model
from fanwise.models._opinions import ask_all, ballot
from fanwise.models._output import MalformedAnswer
from fanwise.models._prompt import Passage, Prompt
from fanwise.models._provider import Provider, Request, ToolSpec
from fanwise.models._quotes import QUOTING, Quote, Quotes, read_quotes, write_quotes
from fanwise.models._route import Choice, Route
from fanwise.models._usage import Usage

__all__ = [
    "QUOTING", "Answer", "Asked", "Cascade", "Case", "Chat", "Choice", "Correlation", "Ended",
    "Ensemble", "Finish", "Judgement", "Level", "MalformedAnswer", "Measured", "Message", "Model",
    "Part", "Passage", "Piece", "Prompt", "Provider", "Quote", "Quotes", "RawPiece", "Request",
    "Role", "Route", "Text", "ToolBegun", "ToolCall", "ToolResult", "ToolSpec", "ToolText", "Usage",
    "Verdict", "as_chat", "ask_all", "ballot", "cascade", "correlation", "ensemble", "model",
    "read_quotes", "write_quotes",
]  # fmt: skip
