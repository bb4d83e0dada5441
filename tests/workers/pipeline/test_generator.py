"""Many jobs' texts through one model: who goes when, who leaves, what a failure takes with it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch

from config.settings import ModelSettings
from tests.workers.pipeline.writers import make_writer, pieces, summariser
from workers.pipeline import generator as module
from workers.pipeline.decoders import Decoding
from workers.pipeline.generator import MAX_COHORTS, Generator
from workers.pipeline.piece import Broke, Made, Outcome, Piece, Text

TEXTS = ["Good.", "A fox carried a lantern.", "The river told", "Streams of light", "a story"]
MAX_STEPS = 2_000
# A token of each piece's own, so that a test finds its row in a batch.
POISON = 77

Choose = Callable[[Decoding, Any], list[int]]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_writer(tmp_path_factory.mktemp("bart"), "bart", {"no_repeat_ngram_size": 2})


@pytest.fixture
def generator(folder: Path, settings: ModelSettings) -> Generator:
    return summariser(folder, msgspec.structs.replace(settings, max_num_seqs=4), max_new_tokens=8)


def run_all(generator: Generator) -> list[Outcome]:
    told: list[Outcome] = []
    for _ in range(MAX_STEPS):
        if not generator.has_work():
            return told
        told += generator.step()
    raise AssertionError(f"still working after {MAX_STEPS} steps")


def results(told: list[Outcome]) -> dict[tuple[int, int], str]:
    return {(one.piece.job_id, one.piece.index): one.value for one in told if isinstance(one, Made)}


def spy(generator: Generator, monkeypatch: pytest.MonkeyPatch, see: Callable[[Decoding], None]) -> None:
    """`see` is called before each step's computing."""
    choose: Choose = generator._rules.choose

    def seen(decoding: Decoding, processors: Any) -> list[int]:
        see(decoding)
        return choose(decoding, processors)

    monkeypatch.setattr(generator._rules, "choose", seen)


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


def run_with(generator: Generator, some: list[Piece]) -> dict[tuple[int, int], str]:
    generator.put(some)
    return results(run_all(generator))


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
    assert texts(told, 0) == expected[1, 0]


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


def texts(told: list[Outcome], index: int) -> str:
    return "".join(one.text for one in told if isinstance(one, Text) and one.piece.index == index)


@pytest.mark.parametrize("family", ["bart", "t5", "m2m_100", "marian"])
def test_streamed_text_is_the_result(
    family: str, tmp_path: Path, settings: ModelSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the model writes is laid down here: characters of several tokens, several scripts."""
    said = "  Grüße aus Köln! Привет, мир. 你好，世界。 🦊🏮👩‍👩‍👧 the end "
    model = summariser(make_writer(tmp_path, family), settings, max_new_tokens=200)
    tokenizer: Any = model._intake._tokenizer
    ids = [*tokenizer(said, add_special_tokens=False).input_ids, min(model._rules.eos_ids)]
    steps = iter(ids)
    monkeypatch.setattr(model._rules, "choose", lambda *_: [next(steps)])
    monkeypatch.setattr(model._intake, "_first_id", None)
    model.put(pieces(model, "Good.", streams_text=True))
    told = run_all(model)
    expected = tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False).strip()
    assert texts(told, 0) == results(told)[1, 0] == expected
    assert expected == said.strip() if family == "bart" else "the end" in expected
    assert len([one for one in told if isinstance(one, Text)]) > 10
    assert not any(one.text.endswith("\ufffd") for one in told if isinstance(one, Text))
    assert told[-1].num_tokens == len(ids)


def test_a_right_to_left_answer_is_streamed_whole(
    folder: Path, settings: ModelSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = "שלום עולם. مرحبا بالعالم 👨🏽‍🚀"
    model = summariser(folder, settings, max_new_tokens=200)
    ids = [*model._intake._tokenizer(said, add_special_tokens=False).input_ids, 0]
    steps = iter(ids)
    monkeypatch.setattr(model._rules, "choose", lambda *_: [next(steps)])
    monkeypatch.setattr(model._intake, "_first_id", None)
    model.put(pieces(model, "Good.", streams_text=True))
    told = run_all(model)
    assert texts(told, 0) == results(told)[1, 0] == said
