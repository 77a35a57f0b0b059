"""A request in the words of pydantic-ai: messages, tools, the shape of the answer."""

from collections.abc import Sequence
from typing import Final

from pydantic_ai.messages import (
    CachePoint,
    InstructionPart,
    ModelMessage,
    ModelRequest,
    ModelRequestPart,
    ModelResponse,
    ModelResponsePart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserContent,
    UserPromptPart,
)
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.output import OutputObjectDefinition
from pydantic_ai.profiles import ModelProfile
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import ToolDefinition

from fanwise.models import Chat, Message, Request, ToolSpec
from fanwise.providers._ai._wrapping import as_object

ANSWER_TOOL: Final = "final_answer"
"""The tool by which a model answers in JSON that knows no other way."""


Asking = tuple[list[ModelMessage], ModelSettings | None, ModelRequestParameters]
"""A request as the library below takes it."""


def to_messages(chat: Chat, *, marks: bool) -> list[ModelMessage]:
    """Give a conversation's messages, the shared text first and, with `marks`, marked for caching.

    Without marks it is joined to the first text: what providers cache by themselves goes by the
    beginning of a request, and some servers take plain texts only.
    """
    told: list[ModelMessage] = [
        _said(message) if message.role == "assistant" else _asked(message)
        for message in chat.messages
    ]
    if chat.shared:
        _share(told, chat.shared, marks=marks)
    return told


def _share(told: list[ModelMessage], shared: str, *, marks: bool) -> None:
    first = told[0].parts[0] if told and told[0].parts else None
    text = first.content if isinstance(first, UserPromptPart) else None
    if not isinstance(text, str):
        told.insert(0, ModelRequest([UserPromptPart([shared, CachePoint()] if marks else shared)]))
        return
    content: str | Sequence[UserContent] = f"{shared}\n\n{text}"
    if marks:
        content = [shared, CachePoint(), text]
    told[0] = ModelRequest([UserPromptPart(content), *_rest(told[0])])


def _rest(message: ModelMessage) -> Sequence[ModelRequestPart]:
    return message.parts[1:] if isinstance(message, ModelRequest) else ()


def _asked(message: Message) -> ModelRequest:
    parts: list[ModelRequestPart] = [
        ToolReturnPart(
            result.name,
            result.text,
            tool_call_id=result.id,
            outcome="failed" if result.failed else "success",
        )
        for result in message.results
    ]
    if message.text or not parts:
        parts.append(UserPromptPart(message.text))
    return ModelRequest(parts)


def _said(message: Message) -> ModelResponse:
    parts: list[ModelResponsePart] = [TextPart(message.text)] if message.text else []
    parts.extend(
        ToolCallPart(
            call.name,
            dict(call.arguments) if call.broken is None else call.broken,
            tool_call_id=call.id,
        )
        for call in message.calls
    )
    return ModelResponse(parts)


def to_parameters(request: Request, profile: ModelProfile) -> ModelRequestParameters:
    """Give what is said beside the messages: system text, tools, the schema of the answer.

    The schema goes as the provider's own JSON mode where the model has one, else as a tool that
    must be called, else as words.
    """
    system = request.chat.system
    parameters = ModelRequestParameters(
        function_tools=[_tool(tool) for tool in request.tools],
        instruction_parts=[InstructionPart(content=system)] if system else None,
    )
    if request.schema is None:
        return parameters
    schema = as_object(request.schema)
    if profile.get("supports_json_schema_output", False):
        parameters.output_mode = "native"
        parameters.output_object = OutputObjectDefinition(schema, name="answer")
    elif profile.get("supports_tools", True):
        parameters.output_mode = "tool"
        parameters.output_tools = [_answer_tool(schema)]
    else:
        parameters.output_mode = "prompted"
        parameters.output_object = OutputObjectDefinition(schema, name="answer")
    parameters.allow_text_output = parameters.output_mode != "tool"
    return parameters


def _tool(tool: ToolSpec) -> ToolDefinition:
    return ToolDefinition(
        name=tool.name,
        description=tool.description,
        parameters_json_schema=dict(tool.schema),
    )


def _answer_tool(schema: dict[str, object]) -> ToolDefinition:
    return ToolDefinition(
        name=ANSWER_TOOL,
        description="The final answer.",
        parameters_json_schema=schema,
        kind="output",
    )
