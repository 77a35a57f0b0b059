"""Batches, as far as they are the same for every provider."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final, TypeVar

from pydantic_ai.exceptions import ModelAPIError
from pydantic_ai.messages import ModelRequest, UserPromptPart
from pydantic_ai.models import Model
from pydantic_ai.models import batch as below

from fanwise.models import BatchOutcome, BatchResult, Request
from fanwise.providers._ai._ask import Asking
from fanwise.providers._ai._reply import to_answer

C = TypeVar("C")

_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


async def submit(
    model: Model[C], requests: Mapping[str, Request], ask: Callable[[Request], Asking]
) -> str:
    """Encode requests, hand them in, give the provider's id of the batch."""
    if not requests:
        raise ValueError("requests={}: a batch needs at least one request")
    encoded = []
    for custom_id, request in requests.items():
        if not _ID.fullmatch(custom_id):
            raise ValueError(
                f"custom id {custom_id!r}: 1 to 64 letters, digits, '_' and '-' are allowed"
            )
        messages, settings, parameters = ask(request)
        encoded.append(
            await model.batch_encode(
                below.BatchRequest(
                    custom_id=custom_id,
                    messages=messages,
                    model_settings=settings,
                    model_request_parameters=parameters,
                )
            )
        )
    return (await model.batch_create(encoded)).id


async def results(model: Model[C], name: str, handle: str) -> list[BatchResult]:
    """Read what became of the requests of a batch that is ended."""
    batch = await model.batch_status(await _batch(model, handle))
    if batch.status != "ended":
        raise ValueError(f"batch {handle!r} is not ended: ask `status` first")
    return [
        BatchResult(result.custom_id, _outcome(model, name, result))
        for result in await model.batch_results(batch)
    ]


async def _batch(model: Model[C], handle: str) -> below.Batch:
    """Give the library's handle for an id; what else is in it follows from the model itself."""
    request = ModelRequest([UserPromptPart("")])
    encoded = await model.batch_encode(below.BatchRequest(custom_id="0", messages=[request]))
    return below.Batch(
        id=handle,
        model_name=model.model_name,
        provider_name=model.system,
        group=encoded.group,
        status="in_progress",
        created_at=datetime.now(UTC),
        request_count=0,
    )


def _outcome(model: Model[C], name: str, result: below.BatchResult) -> BatchOutcome:
    if result.status == "expired":
        return "expired"
    if result.status == "canceled":
        return "cancelled"
    try:
        response = model.batch_decode(
            result, below.BatchRequest(custom_id=result.custom_id, messages=[])
        )
    except ModelAPIError as error:
        return error
    return to_answer(response, name, wrapped=True)
