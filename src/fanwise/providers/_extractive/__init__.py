"""`local:extractive`: a deterministic model that selects sentences."""

from fanwise.providers._extractive._model import Extractive, extractive

__all__ = ["Extractive", "extractive"]
