"""What a batch that fails takes with it: the piece that fails, and nothing else."""

from typing import Any

import pytest
import torch

from tests.workers.pipeline.writers import TEXTS, pieces, results, run_all, run_with, spy, streamed
from workers.pipeline import generator as module
from workers.pipeline.decoders import Decoding
from workers.pipeline.generator import Generator
from workers.pipeline.piece import Broke, Piece

# A token of one piece's own, so that a test finds its row in a batch.
POISON = 77


def poisoned(piece: Piece, generator: Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    """This piece's prompt has a token that no other's has."""
    make = generator._intake.row

    def row(other: Piece) -> Any:
        made = make(other)
        if other is piece:
            made.prompt[1] = POISON
        assert other is piece or POISON not in made.prompt
        return made

    monkeypatch.setattr(generator._intake, "row", row)


def is_poisoned(decoding: Decoding) -> bool:
    return any(POISON in source for source in decoding.sources)


@pytest.mark.parametrize("step", [1, 3, 6])
def test_a_row_that_fails_breaks_alone(
    step: int, generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others go on where they were, and what they streamed has no gap."""
    expected = run_with(generator, pieces(generator, *TEXTS[:4]))
    some = pieces(generator, *TEXTS[:4], streams_text=True)
    poisoned(some[1], generator, monkeypatch)

    def fail(decoding: Decoding) -> None:
        if is_poisoned(decoding) and decoding.token_ids.shape[1] == step:
            raise torch.OutOfMemoryError("no room")

    spy(generator, monkeypatch, fail)
    generator.put(some)
    told = run_all(generator)
    broken = [one for one in told if isinstance(one, Broke)]
    assert [(one.piece.index, one.error) for one in broken] == [(1, "OutOfMemoryError: no room")]
    del expected[1, 1]
    assert results(told) == expected
    assert streamed(told, 0) == expected[1, 0]


def test_a_batch_that_finds_no_room_goes_on_in_parts(
    generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = run_with(generator, pieces(generator, *TEXTS[:4]))

    def fail(decoding: Decoding) -> None:
        if len(decoding.token_ids) > 2:
            raise torch.OutOfMemoryError("no room")

    spy(generator, monkeypatch, fail)
    assert run_with(generator, pieces(generator, *TEXTS[:4])) == expected


def test_a_text_that_cannot_be_read_breaks_alone(
    generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    some = pieces(generator, *TEXTS[:4])
    poisoned(some[2], generator, monkeypatch)
    begin = module.begin

    def fail(model: Any, prompts: list[list[int]]) -> Decoding:
        if any(POISON in prompt for prompt in prompts):
            raise ValueError("bad text")
        return begin(model, prompts)

    monkeypatch.setattr(module, "begin", fail)
    generator.put(some)
    told = run_all(generator)
    assert [one.piece.index for one in told if isinstance(one, Broke)] == [2]
    assert len(results(told)) == 3


def test_a_dropped_job_does_not_begin_again(generator: Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    some = pieces(generator, *TEXTS[:4])
    poisoned(some[1], generator, monkeypatch)

    def fail(decoding: Decoding) -> None:
        if is_poisoned(decoding):
            raise ValueError("bad text")

    spy(generator, monkeypatch, fail)
    generator.put(some)
    generator.step()
    generator.step()
    assert generator._again
    generator.drop(1)
    assert not generator.has_work()


def test_a_lost_device_is_nobodys_fault(generator: Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker is to be replaced: each further step would fail, too."""
    lost = type("AcceleratorError", (RuntimeError,), {})

    def fail(_: Decoding) -> None:
        raise lost("device-side assert")

    spy(generator, monkeypatch, fail)
    generator.put(pieces(generator, *TEXTS[:3]))
    with pytest.raises(RuntimeError, match="device-side assert"):
        run_all(generator)
