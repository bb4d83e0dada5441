"""What clients of `/collaborate/{doc_id}` send, tagged by `type`."""

from typing import Annotated, Any

from aiohttp import web
from msgspec import Meta, Struct

from service.documents.operations import Operation
from service.errors import BadParams
from service.params.fields import MaxTokens
from service.params.native import GenerateParams

MAX_DOC_ID_CHARS = 128

Version = Annotated[int, Meta(ge=0)]
# A new one for each operation, such as a UUID.
OperationId = Annotated[str, Meta(pattern=r"^[\x21-\x7e]{1,64}$")]


class SubmitOperation(Struct, tag_field="type", tag="operation"):
    """`version`: the one that the operation was made at; without it, the present one."""

    operation: Operation
    version: Version | None = None
    operation_id: OperationId | None = None


class MoveCursor(Struct, tag_field="type", tag="cursor_position"):
    """In code points of the text of `version`."""

    position: Annotated[int, Meta(ge=0)]
    version: Version | None = None


class Assist(GenerateParams, tag_field="type", tag="assist", kw_only=True):
    """The model's answer to the prompt is to be written at `position`."""

    position: Annotated[int, Meta(ge=0)]
    version: Version | None = None
    max_tokens: MaxTokens | None = None


class CancelAssist(Struct, tag_field="type", tag="cancel"):
    """One of the socket's assists is to end, or without `assist_id` all."""

    assist_id: str | None = None


class DocumentsParams(Struct):
    """`GET /documents`: the newest `limit` documents."""

    limit: Annotated[int, Meta(ge=1, le=1_000)] = 100


class YjsQuery(Struct):
    """`/collaborate/{doc_id}/yjs`: the name that its clients give the text."""

    text: Annotated[str, Meta(min_length=1, max_length=128)] | None = None


WriterMessage = SubmitOperation | MoveCursor | Assist | CancelAssist
# A type checker has no type for the type of a union.
WriterMessageIn: Any = WriterMessage


def read_doc_id(request: web.Request) -> str:
    """Raises BadParams."""
    doc_id = request.match_info["doc_id"]
    if len(doc_id) > MAX_DOC_ID_CHARS:
        message = f"doc_id: {len(doc_id)} characters > {MAX_DOC_ID_CHARS}"
        raise BadParams(message, param="doc_id")
    if not doc_id.isprintable() or not doc_id.strip():
        raise BadParams("doc_id: expected characters that can be printed", param="doc_id")
    return doc_id
