"""One request of a batch: answered as its endpoint would, without its waits and limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fanwise.testing.twin._batches import ask_in_batch
from fanwise.testing.twin._errors import error_body
from fanwise.testing.twin._http import Refused, Request
from fanwise.testing.twin._openai_chat import ChatWire
from fanwise.testing.twin._openai_embeddings import EmbeddingsWire
from fanwise.testing.twin._openai_remembering import Responses
from fanwise.testing.twin._values import compact

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fanwise.testing.twin._engine import Twin
    from fanwise.testing.twin._values import Json
    from fanwise.testing.twin._wire import Codec

ENDPOINTS: Final[Mapping[str, Callable[[Twin, Json], Codec]]] = {
    "/v1/embeddings": lambda _twin, _body: EmbeddingsWire(),
    "/v1/responses": Responses,
    "/v1/chat/completions": lambda _twin, _body: ChatWire(),
}


async def answer_single(
    twin: Twin, endpoint: str, params: Json, key: str, done: float
) -> tuple[int, Json]:
    """Return the status and the body of an answer."""
    headers = {"authorization": f"Bearer {key}"}
    request = Request("POST", endpoint, headers, compact(params).encode())
    codec = ENDPOINTS[endpoint](twin, params)
    try:
        turn, reply = await ask_in_batch(twin, codec.read(request), done)
    except Refused as refused:
        return refused.status, error_body(refused, "openai", "")
    return 200, codec.write(turn, reply)
