"""What is written for many texts together is what transformers' own greedy search writes for each alone."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

from config.settings import ModelSettings
from tests.workers.pipeline.writers import CAUSAL, FAMILIES, make_writer, pieces, summariser, translator
from workers.pipeline.cohort import Row
from workers.pipeline.generator import Generator
from workers.pipeline.piece import Made

MAX_NEW_TOKENS = 12
# Without it these models repeat themselves for ever.
PLAIN: dict[str, Any] = {"no_repeat_ngram_size": 2}
RULED = PLAIN | {
    "repetition_penalty": 1.4,
    "min_new_tokens": 5,
    "suppress_tokens": [40, 41],
    "begin_suppress_tokens": [50, 51, 52, 53],
    "bad_words_ids": [[60], [61, 62]],
    "sequence_bias": [[[45], 1.5], [[46, 47], -2.0]],
    "forced_eos_token_id": 2,
    "exponential_decay_length_penalty": [9, 1.2],
    "remove_invalid_values": True,
}
LONG = {"min_length": 20}
READ = {"encoder_repetition_penalty": 1.3, "encoder_no_repeat_ngram_size": 2}
TEXTS = [
    "Good.",
    "A fox carried a lantern through the quiet wood.",
    "The river told",
    "Streams of light, streams of tokens",
    "Grüße aus Köln! 🦊🏮",
    "мир 你好",
]


def record(generator: Generator, monkeypatch: pytest.MonkeyPatch) -> list[Row]:
    """The rows that the generator makes from here on."""
    rows: list[Row] = []
    make = generator._intake.row

    def keep(piece: Any) -> Row:
        rows.append(make(piece))
        return rows[-1]

    monkeypatch.setattr(generator._intake, "row", keep)
    return rows


def write(generator: Generator, texts: list[str]) -> list[str]:
    """All texts' answers; the later half of them come while the others are in work."""
    made: dict[int, str] = {}
    waiting = pieces(generator, *texts)
    half = len(texts) // 2
    generator.put(waiting[:half])
    for _ in range(3):
        take(generator, made)
    generator.put(waiting[half:])
    while generator.has_work():
        take(generator, made)
    return [made[index] for index in range(len(texts))]


def take(generator: Generator, made: dict[int, str]) -> None:
    for outcome in generator.step() if generator.has_work() else []:
        assert isinstance(outcome, Made), outcome
        made[outcome.piece.index] = outcome.value


@torch.inference_mode()
def alone(model: Any, row: Row, **options: Any) -> list[int]:
    ids = torch.tensor([row.prompt])
    options |= {"num_beams": 1, "do_sample": False, "max_new_tokens": MAX_NEW_TOKENS}
    out = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), **options)[0].tolist()
    answer: list[int] = out[1 if model.config.is_encoder_decoder else len(row.prompt) :]
    return answer


@pytest.mark.parametrize(
    ("family", "said"),
    [
        *((family, PLAIN) for family in FAMILIES),
        *((family, RULED | READ) for family in ("bart", "m2m_100", "t5")),
        ("llama", RULED),
        ("gpt2", LONG),
    ],
)
def test_each_row_is_what_it_is_alone(
    family: str,
    said: dict[str, Any],
    tmp_path: Path,
    settings: ModelSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = make_writer(tmp_path, family, said, ends_often=True)
    generator = summariser(folder, settings, max_new_tokens=MAX_NEW_TOKENS)
    rows = record(generator, monkeypatch)
    write(generator, TEXTS)
    kind: Any = AutoModelForCausalLM if family in CAUSAL else AutoModelForSeq2SeqLM
    model = kind.from_pretrained(tmp_path).eval()
    assert [row.token_ids for row in rows] == [alone(model, row) for row in rows]
    assert len({tuple(row.token_ids) for row in rows}) > 2
    assert len({len(row.token_ids) for row in rows}) > 1


@pytest.mark.parametrize(("family", "token"), [("m2m_100", "__de__"), ("nllb", "deu_Latn")])
def test_a_translation_begins_with_its_language(
    family: str, token: str, tmp_path: Path, settings: ModelSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_writer(tmp_path, family, {"begin_suppress_tokens": list(range(4, 200, 2))}, ends_often=True)
    generator = translator(folder, settings, max_new_tokens=MAX_NEW_TOKENS)
    rows = record(generator, monkeypatch)
    texts = write(generator, TEXTS)
    model: Any = AutoModelForSeq2SeqLM.from_pretrained(folder).eval()
    tokenizer: Any = generator._intake._tokenizer
    first = tokenizer.convert_tokens_to_ids(token)
    assert {row.token_ids[0] for row in rows} == {first}
    expected = [alone(model, row, forced_bos_token_id=first) for row in rows]
    assert [row.token_ids for row in rows] == expected
    assert rows[0].prompt == tokenizer(rows[0].piece.value).input_ids
    assert not any(token in text for text in texts)


@pytest.mark.parametrize("family", [family for family in FAMILIES if family not in CAUSAL])
def test_a_text_is_read_as_its_tokenizer_has_it(family: str, tmp_path: Path, settings: ModelSettings) -> None:
    generator = summariser(make_writer(tmp_path, family), settings)
    tokenizer: Any = generator._intake._tokenizer
    prefix = "summarize: " if family == "t5" else ""
    for piece in pieces(generator, *TEXTS):
        assert generator._intake.row(piece).prompt == tokenizer(prefix + piece.value).input_ids
