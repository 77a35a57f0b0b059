"""Adapters over pydantic-ai-slim (extra `llm`): one file per provider, what they share below them.

    _openai, _anthropic, _google    one provider each, none knowing another
    _openai_batch, _anthropic_batch their batch APIs
    _adapter                        a `Provider` made of a model of that library
    _ask, _reply, _wrapping         our values in its words, and back
    _http                           connections, one pool per event loop, and the headers of limits

Nothing of it is imported before a model of such a provider is made.
"""
