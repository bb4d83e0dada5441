"""Params of the routes about chat sessions."""

from typing import Annotated

from msgspec import Meta, Struct


class SessionsParams(Struct):
    """`GET /chat/sessions`: the newest `limit` sessions."""

    limit: Annotated[int, Meta(ge=1, le=1_000)] = 100
