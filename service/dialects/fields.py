"""What a pipeline's stages make, as it stands in objects: their JSON is passed on as it is."""

from collections.abc import Sequence
from typing import Any

from msgspec import Raw, json

from service.dialects.dialect import encode, usage_object
from workers.messages import Field, StageResult, Usage

NULL = Raw(b"null")


def fields_object(fields: Sequence[Field]) -> Raw:
    """One object with all fields, in order."""
    members = [encode(field.name) + b":" + field.value for field in fields]
    return Raw(b"{" + b",".join(members) + b"}")


def outputs_of(result: StageResult, count: int) -> list[Raw]:
    """The first `count` outputs in the order in which the stage's kind makes them.

    Settings name them as they like, and may leave out the last: those are null.
    """
    values = [Raw(field.value) for field in result.outputs[:count]]
    return values + [NULL] * (count - len(values))


def stage_usage(usage: Usage) -> dict[str, Any]:
    """Counts so far: tokens that were generated, and stages that are done."""
    return usage_object(usage) | {"stages": usage.num_items}


def lines(fields: Sequence[Field]) -> str:
    """The fields as plain text, a line each."""
    return "".join(f"{field.name}: {_plain(field.value)}\n" for field in fields)


def _plain(value: bytes) -> str:
    return json.decode(value, type=str) if value[:1] == b'"' else value.decode()
