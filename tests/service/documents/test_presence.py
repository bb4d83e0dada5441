"""Awareness: states come and go with their sockets, and what cannot be read is refused."""

import json
from typing import Any

import pytest
from pycrdt import Awareness, Doc, Encoder

from service.documents.presence import MAX_KNOWN, MAX_STATE_BYTES, MAX_STATES, Presence
from service.documents.yjs_wire import (
    MAX_SAFE_INTEGER,
    QueryAwareness,
    Step1,
    Update,
    awareness_frame,
    read_frame,
    step1_frame,
    step2_frame,
    update_frame,
)
from service.documents.yjs_wire import (
    Awareness as AwarenessMessage,
)
from service.errors import BadParams

USER = {"user": {"name": "Zoë 🦊"}}


def told(*clients: tuple[int, int, Any]) -> bytes:
    encoder = Encoder()
    encoder.write_var_uint(len(clients))
    for client, clock, state in clients:
        encoder.write_var_uint(client)
        encoder.write_var_uint(clock)
        encoder.write_var_string(json.dumps(state))
    return encoder.to_bytes()


def states(update: bytes) -> dict[int, Any]:
    """What a client that hears of the update knows then."""
    awareness = Awareness(Doc())
    awareness.set_local_state(None)
    awareness.apply_awareness_update(update, "test")
    return dict(awareness.states)


def test_states_are_passed_on_kept_and_taken_along() -> None:
    presence = Presence()
    assert presence.everyone() == b""
    assert states(presence.merge(told((1, 1, USER)), "a")) == {1: USER}
    presence.merge(told((2, 1, {})), "b")
    assert states(presence.everyone()) == {1: USER, 2: {}}
    # What the others knew of 1 goes with its socket; old news of it are none.
    update = presence.leave("a")
    assert update == told((1, 1, None))
    assert states(presence.everyone()) == {2: {}}
    assert presence.merge(told((1, 1, USER)), "b") == b""
    assert presence.leave("a") == b""
    assert len(presence) == 1


def test_who_connects_again_is_not_taken_along_by_the_old_socket() -> None:
    presence = Presence()
    presence.merge(told((1, 1, USER)), "old")
    assert presence.merge(told((1, 1, USER)), "new") == b""
    presence.merge(told((1, 2, USER)), "new")
    assert presence.leave("old") == b""
    assert presence.merge(told((1, 3, None)), "new") == told((1, 3, None))
    assert len(presence) == 0


@pytest.mark.parametrize(
    "update",
    [
        b"",
        b"\x01",
        told((1, 1, USER))[:-1],
        told((1, 1, [])),
        told((1, 1, "x")),
        told((1, 1, {"x": "y" * MAX_STATE_BYTES})),
        told((MAX_SAFE_INTEGER + 1, 1, {})),
        told((1, MAX_SAFE_INTEGER + 1, {})),
        told((1 << 20_000, 1, {})),
        b"\xff" * 1_000,
        bytes([1, 1, 1, 3]) + b"{{{",
        bytes([1, 1, 1, 1]) + b"\xff",
        told((1, 1, {}), (2, 1, {}))[:-2],
    ],
)
def test_what_cannot_be_read_changes_nothing(update: bytes) -> None:
    presence = Presence()
    with pytest.raises(BadParams):
        presence.merge(update, "a")
    assert presence.everyone() == b""


def test_a_socket_has_few_states_and_the_room_forgets_who_left() -> None:
    presence = Presence()
    presence.merge(told(*((client, 1, {}) for client in range(MAX_STATES))), "a")
    with pytest.raises(BadParams, match=f"{MAX_STATES + 1} awareness states of one socket > {MAX_STATES}"):
        presence.merge(told((MAX_STATES, 1, {})), "a")
    assert presence.merge(told((MAX_STATES, 1, {})), "b")
    for client in range(1_000, 1_000 + 3 * MAX_KNOWN):
        presence.merge(told((client, 1, {})), "c")
        presence.leave("c")
    assert len(presence) == MAX_STATES + 1
    assert presence.num_known <= len(presence) + MAX_KNOWN


def test_frames_are_read_as_they_were_written() -> None:
    for body in (b"", b"\x00", b"x" * 300):
        assert read_frame(step1_frame(body)) == Step1(body)
        assert read_frame(step2_frame(body)) == Update(body, is_answer=True)
        assert read_frame(update_frame(body)) == Update(body, is_answer=False)
        assert read_frame(awareness_frame(body)) == AwarenessMessage(body)
    assert read_frame(b"\x03") == QueryAwareness()
    # Authentication, and what nobody has defined.
    assert read_frame(b"\x02\x00\x01x") is None
    assert read_frame(b"\x09") is None
    assert read_frame(b"\x00\x09\x01x") is None


@pytest.mark.parametrize(
    "frame", [b"", b"\x00", b"\x00\x00", b"\x00\x02\x05abc", b"\x01\xff\xff", b"\x80" * 20]
)
def test_frames_that_are_cut_are_refused(frame: bytes) -> None:
    with pytest.raises(BadParams):
        read_frame(frame)
