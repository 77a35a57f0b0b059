"""Adapters over pydantic-ai-slim (extra `llm`): one file per provider, what they share below them.

    _openai, _anthropic, _google    one provider each, none knowing another
    _openai_chat, _openai_rehearsal parts of the first
    _adapter                        a `Provider` made of a model of that library
    _ask, _reply, _wrapping         our values in its words, and back
    _batches                        batch APIs, as far as they are alike
    _given                          what a user brings: a client, a key, an address, connections
    _http, _pools                   connections of an event loop, and the headers of limits
    _closing, _failing              how streams end, and what is raised
    _rehearsal                      what is built before a loop runs

Nothing of it is imported before a model of such a provider is made.
"""
