"""Streams by id: found by their own key, counted, kept for a while, then expired."""

import asyncio

import pytest

from service.catalogue import Catalogue
from service.errors import Expired, NotFound
from service.streams import Stream
from tests.service.fakes import delta, finished, stream_of, stream_settings, until


def catalogue_of(num_streams: int, **settings: object) -> tuple[Catalogue, list[Stream]]:
    chosen = stream_settings(**settings)
    catalogue = Catalogue(chosen)
    streams = [stream_of(settings=chosen, is_resumable=True, key=f"key{i % 2}") for i in range(num_streams)]
    for stream in streams:
        catalogue.add(stream)
        stream.push(delta("x" * 1_000))
    return catalogue, streams


async def test_streams_are_their_keys_own() -> None:
    catalogue, streams = catalogue_of(3)
    assert catalogue.get(streams[0].id, "key0") is streams[0]
    for stream_id, key in ((streams[0].id, "key1"), ("st_none", "key0")):
        with pytest.raises(NotFound):
            catalogue.get(stream_id, key)
    assert catalogue.of_key("key0") == [streams[0], streams[2]]
    assert (catalogue.num_open("key0"), catalogue.num_open("key1"), catalogue.num_open("none")) == (2, 1, 0)


async def test_finished_streams_are_kept_then_expire() -> None:
    catalogue, (stream,) = catalogue_of(1, retention_s=0.02)
    stream.push(finished())
    assert catalogue.num_open("key0") == 0
    assert catalogue.open_streams() == []
    catalogue.sweep()
    assert catalogue.get(stream.id, "key0") is stream
    await until(lambda: [catalogue.sweep()] and not catalogue.of_key("key0"))
    with pytest.raises(Expired):
        catalogue.get(stream.id, "key0")
    with pytest.raises(NotFound):
        catalogue.get(stream.id, "key1")
    assert stream.log.kept_bytes == catalogue.log_bytes() == 0


async def test_only_so_many_finished_ones_are_kept_and_so_many_ids() -> None:
    catalogue, streams = catalogue_of(8, max_finished=2)
    for stream in streams:
        stream.push(finished())
    kept = [stream for key in ("key0", "key1") for stream in catalogue.of_key(key)]
    assert set(kept) == set(streams[-2:])
    with pytest.raises(Expired):
        catalogue.get(streams[5].id, "key1")
    with pytest.raises(NotFound):
        catalogue.get(streams[0].id, "key0")


async def test_the_oldest_finished_logs_go_first_when_all_take_too_much() -> None:
    catalogue, streams = catalogue_of(4, max_total_log_bytes=3_000)
    for stream in streams[:3]:
        stream.push(finished())
    assert catalogue.log_bytes() > 3_000
    catalogue.sweep()
    assert 0 < catalogue.log_bytes() <= 3_000
    assert [bool(stream.log.kept_bytes) for stream in streams] == [False, False, False, True] or streams[
        2
    ].log.kept_bytes
    assert not streams[0].log.kept_bytes
    with pytest.raises(Expired):
        catalogue.get(streams[0].id, "key0").attach(0)


async def test_waiting_for_none() -> None:
    catalogue, streams = catalogue_of(2)
    waiting = asyncio.create_task(catalogue.wait_empty())
    streams[0].push(finished())
    await asyncio.sleep(0)
    assert not waiting.done()
    streams[1].end("drained")
    await waiting
    await Catalogue(stream_settings()).wait_empty()
