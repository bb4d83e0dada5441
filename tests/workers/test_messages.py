"""What crosses the boundary comes out as it went in."""

from typing import Any, get_args, get_origin

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.errors import KINDS
from workers.messages import (
    Command,
    Event,
    EventBatch,
    Message,
    Report,
    decode_command,
    decode_report,
    encode,
)

NUMBERS = st.integers(-(1 << 63), (1 << 63) - 1)
# Text is what UTF-8 can say: the service refuses lone surrogates at its door.
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def values(kind: Any) -> st.SearchStrategy[Any]:
    """Any value of a type that messages have."""
    if get_origin(kind) is list:
        return st.lists(values(get_args(kind)[0]), max_size=3)
    if get_origin(kind) is tuple:
        return st.lists(values(get_args(kind)[0]), max_size=3).map(tuple)
    if get_args(kind):
        return st.one_of(*map(values, get_args(kind)))
    if issubclass(kind, Message):
        fields = msgspec.structs.fields(kind)
        return st.builds(kind, **{field.name: values(field.type) for field in fields})
    plain = {int: NUMBERS, str: TEXTS, bytes: st.binary(max_size=20)}
    plain |= {float: st.floats(allow_nan=False), bool: st.booleans()}
    return plain.get(kind, st.none())


@given(values(Command))
def test_commands(command: Command) -> None:
    assert decode_command(encode(command)) == command


@given(values(Report))
def test_reports(report: Report) -> None:
    assert decode_report(encode(report)) == report


@given(st.lists(values(Event)))
def test_batches_keep_their_order(events: list[Event]) -> None:
    assert decode_report(encode(EventBatch(events))).events == events


def test_no_message_is_tracked_or_changed() -> None:
    kinds = [*get_args(Command), *get_args(Report), *get_args(Event)]
    for kind in kinds:
        config = kind.__struct_config__
        assert config.frozen and not config.gc and config.array_like, kind
        assert config.tag == kind.__name__


@pytest.mark.parametrize("frame", [b"", b"\xff", encode(["Submit"]), encode(["Nonsense", 1]), encode({})])
def test_what_is_no_message_is_refused(frame: bytes) -> None:
    for decode in (decode_command, decode_report):
        with pytest.raises(msgspec.MsgspecError):
            decode(frame)


def test_every_error_code_has_a_fitting_status() -> None:
    for code, kind in KINDS.items():
        assert 400 <= kind.status < 600, code
        assert not kind.is_retryable or kind.status >= 500, code
