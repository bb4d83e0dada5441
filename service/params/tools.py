"""Params about tools and the form of an answer, as the OpenAI API has them."""

from typing import Annotated

import msgspec
from msgspec import Meta, Raw, Struct

from service.errors import BadParams
from workers.messages import CallForm, Form, JsonForm, ToolCall

FunctionName = Annotated[str, Meta(pattern="^[a-zA-Z0-9_.-]{1,64}$")]
IsFunction = Annotated[str, Meta(pattern="^function$")]
ANY_OBJECT = b'{"type":"object"}'


class Function(Struct):
    """`parameters` is a JSON schema of the arguments; without it any object will do."""

    name: FunctionName
    description: str | None = None
    parameters: dict[str, Raw] | None = None


class Tool(Struct):
    type: IsFunction
    function: Function


class FunctionChoice(Struct):
    name: FunctionName


class ToolChoice(Struct):
    """This tool and no other."""

    type: IsFunction
    function: FunctionChoice


class CalledFunction(Struct):
    name: FunctionName
    arguments: str


class CalledTool(Struct):
    """A call that an earlier answer made."""

    id: Annotated[str, Meta(min_length=1, max_length=256)]
    function: CalledFunction
    type: IsFunction = "function"

    def tool_call(self) -> ToolCall:
        return ToolCall(self.id, self.function.name, self.function.arguments)


class NamedSchema(Struct):
    name: Annotated[str, Meta(pattern="^[a-zA-Z0-9_-]{1,64}$")]
    schema: dict[str, Raw]


class ResponseFormat(Struct):
    type: Annotated[str, Meta(pattern="^(text|json_object|json_schema)$")]
    json_schema: NamedSchema | None = None

    def form(self) -> JsonForm | None:
        """What the answer has to be; None for any text. Raises BadParams."""
        if self.type == "text":
            return None
        if self.type == "json_object":
            return JsonForm(ANY_OBJECT)
        if self.json_schema is None:
            message = "$.response_format.json_schema: required with type json_schema"
            raise BadParams(message, param="response_format", status=400)
        return JsonForm(msgspec.json.encode(self.json_schema.schema))


Choice = Annotated[str, Meta(pattern="^(none|auto|required)$")] | ToolChoice


def wished_tools(tools: list[Tool] | None, choice: Choice | None) -> list[bytes]:
    """The JSON of each tool that the model is to know of. Raises BadParams."""
    if choice not in (None, "none") and not tools:
        raise BadParams("$.tool_choice: only allowed with tools", param="tool_choice", status=400)
    names = [tool.function.name for tool in tools or []]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise BadParams(f"$.tools: {twice!r} stands there twice", param="tools", status=400)
    if isinstance(choice, ToolChoice) and choice.function.name not in names:
        there_is = ", ".join(names)
        message = f"$.tool_choice: {choice.function.name!r} is not among tools; there is: {there_is}"
        raise BadParams(message, param="tool_choice", status=400)
    return [] if choice == "none" else [msgspec.json.encode(tool) for tool in tools or []]


def wished_form(choice: Choice | None, response_format: ResponseFormat | None) -> Form | None:
    """What the answer has to be; None for any text, with or without calls. Raises BadParams."""
    form = response_format.form() if response_format else None
    if choice in (None, "none", "auto"):
        return form
    if form is not None:
        message = "$.response_format: an answer that must be a tool call has no other form"
        raise BadParams(message, param="response_format", status=400)
    return CallForm([choice.function.name] if isinstance(choice, ToolChoice) else [])
