"""Many jobs' texts through one model: who goes when, and who leaves."""

import pytest

from tests.workers.pipeline.writers import TEXTS, pieces, results, run_all, run_with, spy
from workers.pipeline.generator import MAX_COHORTS, Generator
from workers.pipeline.piece import Made, Outcome


def test_a_late_small_job_does_not_wait_for_a_long_one(generator: Generator) -> None:
    generator.put(pieces(generator, *TEXTS * 8, job_id=1))
    for _ in range(5):
        generator.step()
    generator.put(pieces(generator, "Good.", job_id=2))
    order = [one.piece.job_id for one in run_all(generator) if isinstance(one, Made)]
    assert order.index(2) < 10
    assert order.count(1) == 40


def test_cohorts_are_bounded(generator: Generator) -> None:
    for job_id in range(20):
        generator.put(pieces(generator, "Good.", job_id=job_id))
        generator.step()
        assert len(generator._cohorts) <= MAX_COHORTS
    assert len(results(run_all(generator))) > 10


def test_a_job_has_one_cohort_at_a_time_and_a_cohort_so_many_rows(
    generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    spy(generator, monkeypatch, lambda decoding: sizes.append(len(decoding.token_ids)))
    generator.put(pieces(generator, *TEXTS * 2))
    told: list[Outcome] = []
    while generator.has_work():
        told += generator.step()
        assert len(generator._cohorts) <= 1
    assert len(results(told)) == 10
    assert max(sizes) == 4


def test_a_dropped_job_is_in_no_further_step(generator: Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = run_with(generator, pieces(generator, *TEXTS[:2], job_id=1))
    sizes: list[int] = []
    spy(generator, monkeypatch, lambda decoding: sizes.append(len(decoding.token_ids)))
    generator.put([*pieces(generator, *TEXTS[:2], job_id=1), *pieces(generator, *TEXTS[2:4], job_id=2)])
    told = [outcome for _ in range(3) for outcome in generator.step()]
    assert sizes == [4, 4]
    generator.drop(2)
    told += run_all(generator)
    assert set(sizes[2:]) == {2}
    assert results(told) == alone


def test_dropping_the_last_job_leaves_nothing(generator: Generator) -> None:
    generator.put(pieces(generator, *TEXTS * 3))
    for _ in range(3):
        generator.step()
    generator.drop(1)
    assert not generator.has_work()
    assert not generator._cohorts


def test_what_is_paused_begins_no_more(generator: Generator) -> None:
    generator.put(pieces(generator, *TEXTS, job_id=1))
    generator.step()
    generator.pause(1)
    assert len(results(run_all(generator))) == 4
    generator.resume(1)
    assert len(results(run_all(generator))) == 1
