"""Google's adapter on its client's own types: the twin does not speak its protocol."""

import json

import httpx2
import pytest
from google.genai import types

from fanwise import providers
from fanwise.core._transient import http_status, is_transient
from fanwise.models import (
    Chat,
    Embedder,
    Ended,
    Message,
    Model,
    Request,
    Text,
    ToolBegun,
    ToolResult,
    ToolSpec,
    ToolText,
)
from fanwise.testing import no_orphans
from tests.providers.on_twin import IMPORTED

LOOK = ToolSpec("look", "Looks.", {"type": "object", "properties": {"what": {"type": "string"}}})


def response(*parts: types.Part, finish: str = "STOP") -> types.GenerateContentResponse:
    content = types.Content(role="model", parts=list(parts))
    return types.GenerateContentResponse(
        candidates=[types.Candidate(content=content, finish_reason=finish, index=0)],
        usage_metadata=types.GenerateContentResponseUsageMetadata(
            prompt_token_count=100,
            cached_content_token_count=60,
            candidates_token_count=7,
            thoughts_token_count=3,
            total_token_count=110,
        ),
        model_version="gemini-x-001",
    )


def wire(answer: types.GenerateContentResponse) -> str:
    return answer.model_dump_json(exclude_none=True, by_alias=True)


class Speaking:
    """Answers with what it is given, and keeps what it was asked."""

    def __init__(self, *answers: types.GenerateContentResponse, status: int = 200) -> None:
        self.answers, self.status = answers, status
        self.asked: list[dict] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append(json.loads(request.content))
        if self.status != 200:
            error = {"error": {"code": self.status, "message": "no", "status": "UNAVAILABLE"}}
            return httpx2.Response(self.status, json=error)
        if "stream" in request.url.path:
            events = "".join(f"data: {wire(answer)}\r\n\r\n" for answer in self.answers)
            return httpx2.Response(200, text=events, headers={"content-type": "text/event-stream"})
        if "mbed" in request.url.path:
            count = len(self.asked[-1].get("requests", [None]))
            vectors = [{"values": [float(n), 1.0]} for n in range(count)]
            return httpx2.Response(200, json={"embeddings": vectors})
        return httpx2.Response(200, text=wire(self.answers[0]), headers=JSON)

    def adapter(self, name: str = "gemini-2.5-flash"):
        http = httpx2.AsyncClient(transport=httpx2.MockTransport(self), timeout=60)
        KEPT.append(providers.google(name, key="k", http=http))
        return KEPT[-1]


JSON = {"content-type": "application/json"}
KEPT: list[object] = []  # Google's client starts a task when it is collected


async def test_an_answer_with_its_usage():
    assert IMPORTED
    google = Speaking(response(types.Part(text="an answer")))
    with no_orphans():
        answer = await Model(google.adapter()).ask(
            Chat((Message("user", "why?"),), system="Be short.", shared="shared"), max_tokens=50
        )
    assert (answer.text, answer.finish, answer.model) == (
        "an answer",
        "stop",
        "google:gemini-2.5-flash",
    )
    used = answer.usage
    assert (used.tokens_in, used.cached, used.tokens_out) == (100, 60, 10)
    (asked,) = google.asked
    assert asked["generationConfig"]["maxOutputTokens"] == 50
    assert asked["systemInstruction"]["parts"][0]["text"] == "Be short."
    assert asked["contents"][0]["parts"][0]["text"] == "shared\n\nwhy?"


async def test_a_stream_with_tool_calls():
    call = types.FunctionCall(name="look", args={"what": "tides"})
    google = Speaking(
        response(types.Part(text="Let "), finish=None),
        response(types.Part(text="me see."), finish=None),
        response(types.Part(function_call=call)),
    )
    with no_orphans():
        made = google.adapter()
        pieces = [piece async for piece in made.pieces(Request("why?", (LOOK,)))]
    assert "".join(piece.text for piece in pieces if isinstance(piece, Text)) == "Let me see."
    (begun,) = (piece for piece in pieces if isinstance(piece, ToolBegun))
    assert (begun.index, begun.name) == (0, "look")
    written = "".join(piece.text for piece in pieces if isinstance(piece, ToolText))
    assert json.loads(written) == {"what": "tides"}
    assert isinstance(pieces[-1], Ended)
    assert pieces[-1].finish == "tools"
    assert pieces[-1].usage.tokens_in == 100


async def test_tool_results_go_back():
    call = types.FunctionCall(name="look", args={"what": "tides"})
    google = Speaking(response(types.Part(function_call=call)))
    model = Model(google.adapter())
    first = await model.ask("why?", tools=[LOOK])
    assert [each.arguments for each in first.calls] == [{"what": "tides"}]
    assert first.finish == "tools"
    result = ToolResult(first.calls[0].id, "look", "high at noon")
    chat = Chat((Message("user", "why?"), first.message, Message("user", results=(result,))))
    await model.ask(chat, tools=[LOOK])
    assert "high at noon" in json.dumps(google.asked[-1]["contents"])


async def test_an_answer_of_a_type():
    google = Speaking(response(types.Part(text='{"answer_value": [1, 2]}')))
    answer = await Model(google.adapter()).ask("numbers", output=list[int])
    assert answer.value == [1, 2]
    config = google.asked[0]["generationConfig"]
    assert config["responseMimeType"] == "application/json"


async def test_a_cut_and_a_refused_answer_say_so():
    for finish, ours in (("MAX_TOKENS", "length"), ("SAFETY", "refused")):
        google = Speaking(response(types.Part(text="so far"), finish=finish))
        answer = await Model(google.adapter()).ask("why?")
        assert (answer.finish, answer.complete) == (ours, False)


async def test_a_failure_is_not_retried_by_the_client():
    google = Speaking(status=503)
    with pytest.raises(Exception) as raised:
        await google.adapter().answer(Request("hi"))
    assert len(google.asked) == 1
    assert http_status(raised.value) == 503
    assert is_transient(raised.value)


async def test_embeddings_say_what_they_are_for_and_their_tokens_are_estimated():
    google = Speaking()
    found = await Embedder(google.adapter("gemini-embedding-001")).embed(["a", "b"], kind="query")
    assert found.vectors == ([0.0, 1.0], [1.0, 1.0])
    assert found.usage.estimated
    assert "RETRIEVAL_QUERY" in json.dumps(google.asked[0])
