"""Tool calls as the OpenAI API has them: pieces in chunks, whole in an answer."""

from collections.abc import Sequence
from typing import Any

from workers.messages import ToolCallPart


def call_deltas(parts: Sequence[ToolCallPart]) -> list[dict[str, Any]]:
    """What is new, an object for each call: its id and name stand in its first one alone."""
    deltas: dict[int, dict[str, Any]] = {}
    for part in parts:
        delta = deltas.setdefault(part.call, {"index": part.call, "function": {"arguments": ""}})
        if part.name is not None:
            delta |= {"id": part.id, "type": "function"}
            delta["function"] = {"name": part.name, "arguments": ""}
        delta["function"]["arguments"] += part.arguments
    return list(deltas.values())


def whole_calls(parts: Sequence[ToolCallPart]) -> list[dict[str, Any]]:
    """All calls of an answer."""
    return [{key: value for key, value in call.items() if key != "index"} for call in call_deltas(parts)]
