"""Client ids: one socket speaks for each; it stays or goes as the setting says."""

import pytest

from service.errors import Conflict
from service.sockets.clients import Clients
from tests.service.sockets.fakes import FakeConnection


def test_a_newer_connection_takes_over() -> None:
    clients, older, newer = Clients("take_over"), FakeConnection(), FakeConnection()
    with clients.hold("alice", "me", older.as_connection()):
        clients.require_free("alice", "me")
        with clients.hold("alice", "me", newer.as_connection()):
            assert (older.closed_with, newer.closed_with) == ([1008], [])
        clients.require_free("alice", "me")


def test_the_older_one_leaves_after_the_newer_has_come() -> None:
    clients, older, newer, newest = Clients("take_over"), FakeConnection(), FakeConnection(), FakeConnection()
    first = clients.hold("alice", "me", older.as_connection())
    first.__enter__()
    with clients.hold("alice", "me", newer.as_connection()):
        first.__exit__(None, None, None)
        with clients.hold("alice", "me", newest.as_connection()):
            assert newer.closed_with == [1008]


def test_refused_before_and_after_the_upgrade() -> None:
    clients, older, newer = Clients("refuse"), FakeConnection(), FakeConnection()
    with clients.hold("alice", "me", older.as_connection()):
        with pytest.raises(Conflict, match="'me' is connected"):
            clients.require_free("alice", "me")
        clients.require_free("bob", "me")
        with clients.hold("alice", "me", newer.as_connection()):
            assert (older.closed_with, newer.closed_with) == ([], [1008])
        with pytest.raises(Conflict):
            clients.require_free("alice", "me")
    clients.require_free("alice", "me")
