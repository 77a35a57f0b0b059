"""The one table from an address in a string to the object that it stands for.

With the `__getattr__` of the root this holds the only dynamic imports of the library. An
entry's key is a whole address or the part before its colon; its value names a module and
a callable in it, which takes the whole address and gives the object.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from collections.abc import Callable

TABLE: Final[dict[str, dict[str, str]]] = {
    "adapter": {
        "anthropic": "fanwise.providers._ai._anthropic:anthropic_maker",
        "close": "fanwise.providers._ai._http:closing",
        "google": "fanwise.providers._ai._google:google_maker",
        "openai": "fanwise.providers._ai._openai:openai_maker",
        "openai-compatible": "fanwise.providers._ai._openai:compatible_maker",
    },
    "board": {"redis": "fanwise.stores._redis:maker"},
    "codec": {
        "arguments": "fanwise.models.tools._signature:arguments",
        "json": "fanwise.models._json_codec:codec",
        "result": "fanwise.stores._result_codec:maker",
        "value": "fanwise.models.tools._signature:value_text",
    },
    "command": {
        "demo": "fanwise.cli.demo._command:command",
        "digest": "fanwise.cli._digest:command",
        "limits": "fanwise.cli._limits:command",
        "run": "fanwise.cli._run:command",
        "runs": "fanwise.cli._runs:command",
        "show": "fanwise.cli._show:command",
        "twin": "fanwise.cli._twin:command",
    },
    "document": {
        "pdfium": "fanwise.documents._pdfium:reader",
        "pypdf": "fanwise.documents._pypdf:reader",
    },
    "embedder": {
        "google": "fanwise.providers:from_address",
        "openai": "fanwise.providers:from_address",
        "openai-compatible": "fanwise.providers:from_address",
    },
    "gates": {
        "memory": "fanwise.stores:from_address",
        "redis": "fanwise.stores:from_address",
        "rediss": "fanwise.stores:from_address",
        "unix": "fanwise.stores:from_address",
    },
    "journal": {
        "memory": "fanwise.stores._memory_journal:from_address",
        "run": "fanwise.core._opening:opener",
        "shared": "fanwise.core._same_run:sharing",
        "sqlite": "fanwise.stores._sqlite:from_address",
    },
    "limit": {
        "budgets": "fanwise.core._spending:spending",
        "change": "fanwise.core._reload:limits_change",
        "file": "fanwise.core._reload:limits_file",
        "rates": "fanwise.core._quota:quota",
    },
    "model": {
        "anthropic": "fanwise.providers:from_address",
        "google": "fanwise.providers:from_address",
        "local:echo": "fanwise.providers:echo",
        "local:extractive": "fanwise.providers:extractive",
        "openai": "fanwise.providers:from_address",
        "openai-compatible": "fanwise.providers:from_address",
        "openai-responses": "fanwise.providers:from_address",
    },
    "money": {
        "estimates": "fanwise.text._estimates:estimates",
        "known": "fanwise.providers._genai_prices:known_prices",
        "prices": "fanwise.models._prices:prices",
    },
    "names": {"models": "fanwise.models._named:names"},
    "pool": {"process": "fanwise.pools:process_pool"},
    "record": {
        "contents": "fanwise.core._contents:contents",
        "writer": "fanwise.core._writer:writer",
    },
    "tools": {"mcp": "fanwise.providers._mcp:adapter"},
    "usage": {  # by the package of a response's class
        "anthropic": "fanwise.models._responses:finder",
        "google": "fanwise.models._responses:finder",
        "langchain_core": "fanwise.models._responses:finder",
        "litellm": "fanwise.models._responses:finder",
        "openai": "fanwise.models._responses:finder",
    },
}


def load(kind: str, address: str) -> object:
    """Give the object of an address, importing its module at the first use.

    Raises ValueError for an address that is not in the table.
    """
    entries = TABLE[kind]
    target = entries.get(address) or entries.get(address.partition(":")[0])
    if target is None:
        known = ", ".join(sorted(entries))
        raise ValueError(f"{kind}={address!r} is not known; known are: {known}")
    module, _, attribute = target.partition(":")
    make = cast("Callable[[str], object]", getattr(import_module(module), attribute))
    return make(address)
