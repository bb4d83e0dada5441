"""Params of `/buffered_stream`."""

from typing import Annotated

from msgspec import Meta, Struct


class FeedParams(Struct):
    """`feed` is one of the settings' feeds; left out or empty, the first of them."""

    feed: Annotated[str, Meta(max_length=128)] = ""
