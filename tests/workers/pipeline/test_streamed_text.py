"""What is told while a model writes is, together, its answer: never half a character."""

from pathlib import Path
from typing import Any

import pytest

from config.settings import ModelSettings
from tests.workers.pipeline.writers import make_writer, pieces, results, run_all, streamed, summariser
from workers.pipeline.piece import Text


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
    assert streamed(told, 0) == results(told)[1, 0] == expected
    assert expected == said.strip() if family == "bart" else "the end" in expected
    assert len([one for one in told if isinstance(one, Text)]) > 10
    assert not any(one.text.endswith("\ufffd") for one in told if isinstance(one, Text))
    assert told[-1].num_tokens == len(ids)


def test_a_right_to_left_answer_is_streamed_whole(
    tmp_path: Path, settings: ModelSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = "שלום עולם. مرحبا بالعالم 👨🏽‍🚀"
    model = summariser(make_writer(tmp_path, "bart"), settings, max_new_tokens=200)
    ids = [*model._intake._tokenizer(said, add_special_tokens=False).input_ids, 0]
    steps = iter(ids)
    monkeypatch.setattr(model._rules, "choose", lambda *_: [next(steps)])
    monkeypatch.setattr(model._intake, "_first_id", None)
    model.put(pieces(model, "Good.", streams_text=True))
    told = run_all(model)
    assert streamed(told, 0) == results(told)[1, 0] == said
