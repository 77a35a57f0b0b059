"""The version, in a file of its own: importlib.metadata takes too long to ask."""

__version__ = "0.1.0"
