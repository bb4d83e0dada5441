"""The queue before a model: order, sizes, pauses."""

from workers.messages import PipelineWork
from workers.pipeline.piece import Piece
from workers.pipeline.waiting import Waiting

WORK = PipelineWork([], [])


def piece(job_id: int, size: int) -> Piece:
    return Piece(job_id, 0, 0, "", WORK, size)


def sizes(pieces: list[Piece]) -> list[int]:
    return [piece.size for piece in pieces]


def test_the_oldest_goes_with_those_of_its_size() -> None:
    waiting = Waiting()
    waiting.put(piece(i, size) for i, size in enumerate([10, 90, 12, 11, 80]))
    assert sizes(waiting.take(3, 1_000)) == [10, 11, 12]
    assert sizes(waiting.take(3, 1_000)) == [90, 80]
    assert not waiting


def test_a_batch_is_bounded_by_its_padded_size() -> None:
    waiting = Waiting()
    waiting.put(piece(i, size) for i, size in enumerate([10, 10, 30, 10]))
    assert sizes(waiting.take(8, 30)) == [10, 10, 10]
    assert sizes(waiting.take(8, 30)) == [30]


def test_one_piece_is_taken_whatever_its_size() -> None:
    waiting = Waiting()
    waiting.put([piece(1, 5_000)])
    assert sizes(waiting.take(8, 30)) == [5_000]


def test_paused_pieces_wait_aside() -> None:
    waiting = Waiting()
    waiting.put([piece(1, 1), piece(2, 2)])
    waiting.pause(1)
    waiting.put([piece(1, 3)])
    assert sizes(waiting.take(8, 100)) == [2]
    assert not waiting
    waiting.resume(1)
    assert sizes(waiting.take(8, 100)) == [1, 3]


def test_dropped_pieces_are_gone_also_paused_ones() -> None:
    waiting = Waiting()
    waiting.put([piece(1, 1), piece(2, 2), piece(3, 3)])
    waiting.pause(3)
    for job_id in (1, 3):
        waiting.drop(job_id)
    waiting.resume(3)
    assert sizes(waiting.take(8, 100)) == [2]
    assert not waiting


def test_jobs_take_turns() -> None:
    waiting = Waiting()
    waiting.put([*(piece(1, 10) for _ in range(6)), piece(2, 90), piece(3, 50)])
    assert [[one.job_id for one in waiting.take(2, 1_000)] for _ in range(4)] == [
        [1, 1],
        [2, 3],
        [1, 1],
        [1, 1],
    ]


def test_a_job_in_work_is_not_first_but_may_go_along() -> None:
    waiting = Waiting()
    waiting.put([piece(1, 10), piece(1, 90), piece(2, 12)])
    assert waiting.take(8, 1_000, {1, 2}) == []
    assert [one.job_id for one in waiting.take(2, 1_000, {1})] == [2, 1]
    assert waiting.take(8, 1_000, {1}) == []
    assert sizes(waiting.take(8, 1_000)) == [90]
