"""A FastAPI application whose workers share one quota of a provider, over Redis.

    redis-server &
    fanwise twin --quota requests=600,tokens=60000,charge=use &   # or a real provider
    export OPENAI_BASE_URL=http://127.0.0.1:8030/v1 OPENAI_API_KEY=any
    uvicorn examples.shared_quota:app --workers 2
    fanwise limits --watch

Each worker has a runtime of its own; what they have in common stands on the board. Requests wait
for their turn as long as their time allows, and are refused where it does not.
"""

import math
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import FastAPI, HTTPException, Query, Request

from fanwise import Limit, Retry, Runtime, deadline
from fanwise.errors import LimitTooSlow
from fanwise.models import model
from fanwise.stores import SharedLimits, redis_board

WORKERS = 2
REDIS = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379")
ASKED = model(os.environ.get("MODEL", "openai:gpt-5-mini")).using(
    limit="model", timeout=60.0, retry=Retry(attempts=3)
)
# What the provider grants, over all workers. Idle time saves up a little less than it allows, so
# that requests which were let out one after the other may arrive together.
LIMITS = {
    "model": Limit(
        requests_per_minute=float(os.environ.get("REQUESTS", "600")),
        tokens_per_minute=float(os.environ.get("TOKENS", "60000")),
        burst=float(os.environ.get("BURST", "58")),
    )
}


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open a runtime in each worker; without the server each of them has its part of the quota."""
    shared = SharedLimits(redis_board(REDIS), without=1 / WORKERS)
    async with Runtime(limits=LIMITS, shared=shared) as runtime:
        app.state.runtime = runtime
        yield


app = FastAPI(lifespan=lifespan)
Seconds = Annotated[float, Query(ge=0)]


@app.get("/answer")
async def get_answer(request: Request, question: str, seconds: Seconds = 30.0) -> dict[str, object]:
    """Ask the model, in a time that bounds the wait for the quota too."""
    try:
        with deadline(seconds):
            answer = await request.app.state.runtime.run(ASKED.ask(question, max_tokens=200))
    except LimitTooSlow as error:  # nothing was sent: somebody else may be faster
        again = {"retry-after": str(math.ceil(error.wait))}
        raise HTTPException(503, str(error), again) from None
    except TimeoutError as error:
        raise HTTPException(504, str(error)) from None
    return {"worker": os.getpid(), "answer": answer.text}


@app.get("/limits")
async def get_limits(request: Request) -> dict[str, object]:
    """Tell what this worker sees of its limits."""
    seen = request.app.state.runtime.statistics().limits
    return {
        each.name: {"waiting": each.waiting, "in_flight": each.in_flight, "used": each.used}
        for each in seen
    }
