"""Models: what is asked and answered, the protocol, and models by name."""

from fanwise.models._model import Model, model
from fanwise.models._prompt import Answer, Passage, Prompt
from fanwise.models._quotes import QUOTING, Quote, Quotes, read_quotes, write_quotes
from fanwise.models._usage import Usage

__all__ = [
    "QUOTING",
    "Answer",
    "Model",
    "Passage",
    "Prompt",
    "Quote",
    "Quotes",
    "Usage",
    "model",
    "read_quotes",
    "write_quotes",
]
