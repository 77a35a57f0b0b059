"""A tool: a step, and how a model is told of it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from fanwise.core import BoundStep, Step, step
from fanwise.models._provider import ToolSpec
from fanwise.models.tools._given import arguments_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fanwise.core import Effect
    from fanwise.models.tools._given import Given

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")  # what every provider takes


@runtime_checkable
class OtherTool(Protocol):
    """A tool of LangChain, by its shape."""

    @property
    def name(self) -> str:
        """What the model calls it."""

    @property
    def description(self) -> str:
        """What the model is told of it."""

    @property
    def args_schema(self) -> Any:  # noqa: ANN401 - a model of pydantic, or a JSON schema
        """Its arguments."""

    async def ainvoke(self, arguments: Any, /) -> Any:  # noqa: ANN401 - of any tool
        """Run it."""


@dataclass(frozen=True, slots=True)
class Tool:
    """What a model may ask for: a step, and how the model is told of it.

    `schema` is the JSON schema of the arguments, an object; `read` makes of them what the step is
    called with, and raises ValueError, for the model to read, where they do not fit.
    """

    name: str
    description: str
    schema: Mapping[str, object]
    step: Step[..., Any] | BoundStep[..., Any]
    read: Callable[[Mapping[str, object]], Given]

    def __post_init__(self) -> None:
        """Refuse a name that providers refuse."""
        if NAME.fullmatch(self.name) is None:
            msg = (
                f"a tool's name has letters, digits, _ and -, at most 64, got {self.name!r}: "
                'as_tool(..., name="search") gives one'
            )
            raise ValueError(msg)

    @property
    def effect(self) -> Effect:
        """What it does to the world: "read" or "write", as its step says."""
        of = self.step.step if isinstance(self.step, BoundStep) else self.step
        return of.policy.effect

    @property
    def spec(self) -> ToolSpec:
        """What the model is told."""
        return ToolSpec(self.name, self.description, self.schema)

    def using(self, **policy: Any) -> Tool:  # noqa: ANN401 - as Step.using
        """Give the same tool under another policy: the arguments of `Step.using`."""
        return replace(self, step=self.step.using(**policy))

    def __repr__(self) -> str:
        """Name it."""
        return f"<Tool {self.name}, {self.effect}>"


def as_tool(
    tool: object,
    *,
    name: str | None = None,
    description: str | None = None,
    effect: Effect | None = None,
) -> Tool:
    """Make a tool of a step, a function or a LangChain tool.

    Its name and description are those that it has, a function's its docstring. A step has its
    effect; a function is a "read" unless said otherwise, a LangChain tool a "write".
    """
    if isinstance(tool, Tool):
        made = tool
    elif isinstance(tool, Step | BoundStep):
        made = _of_step(tool, name)
    elif isinstance(tool, OtherTool):
        return _of_other(tool, name or tool.name, description, effect or "write")
    elif callable(tool) and not isinstance(tool, type):
        return _of_function(tool, name, description, effect)
    else:
        msg = f"a tool is a step, a function, a LangChain tool or a Tool, got {tool!r}"
        raise TypeError(msg)
    if effect not in (None, made.effect):
        msg = f"{made.name} is a {made.effect} by its step: @step(effect={effect!r}) says otherwise"
        raise ValueError(msg)
    return replace(made, name=name or made.name, description=description or made.description)


def tool_specs(tools: Iterable[object]) -> tuple[ToolSpec, ...]:
    """Give what a model is told of the tools: `model.ask(chat, tools=tool_specs(tools))`."""
    return tuple(tool.spec for tool in by_name(tools).values())


def by_name(tools: Iterable[object]) -> dict[str, Tool]:
    """Give the tools by their names; raise ValueError where two have the same."""
    if not isinstance(tools, Iterable):
        msg = f"tools are several, such as [search, weather], got {tools!r}"
        raise TypeError(msg)
    found: dict[str, Tool] = {}
    for each in tools:
        tool = as_tool(each)
        if tool.name in found:
            msg = f"two tools are named {tool.name!r}: as_tool(..., name=...) gives one another"
            raise ValueError(msg)
        found[tool.name] = tool
    return found


def _of_step(made: Step[..., Any] | BoundStep[..., Any], name: str | None) -> Tool:
    function = made.function
    arguments = arguments_of(function)
    plain = name or re.sub(r"[. ]", "_", made.name)
    return Tool(plain, inspect.getdoc(function) or "", arguments.schema, made, arguments.read)


def _of_function(
    function: Callable[..., Any], name: str | None, description: str | None, effect: Effect | None
) -> Tool:
    made = step(name=name, effect=effect or "read")(function)
    tool = _of_step(made, name)
    return replace(tool, description=description or tool.description)


def _of_other(tool: OtherTool, name: str, description: str | None, effect: Effect) -> Tool:
    async def invoke(**arguments: Any) -> Any:  # noqa: ANN401 - of any tool
        return await tool.ainvoke(arguments)

    schema = getattr(tool, "tool_call_schema", tool.args_schema)  # without what the host fills in
    told = schema if isinstance(schema, dict) else schema.model_json_schema()
    made = step(name=name, effect=effect)(invoke)
    return Tool(name, description or tool.description, told, made, by_keyword)


def by_keyword(arguments: Mapping[str, object]) -> Given:
    """Take arguments as they are, for a tool that checks them itself."""
    return (), dict(arguments)
