"""The shipped summary model loads plainly, tells a report's facts and copies from any other text."""

import json
import re
from functools import cache
from random import Random

import pytest
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer, T5ForConditionalGeneration

from workers.embedded import SUMMARY
from workers.embedded.training.grammar import sentences
from workers.embedded.training.seq2seq import Model, load, respond
from workers.embedded.training.seq2seq_feed import Tokenizer
from workers.embedded.training.summary.corpus import draw_pair, drill
from workers.embedded.training.summary.evaluate import OUTSIDE, copying, report_scores, reports
from workers.embedded.training.summary.extracts import draw_extract, lead
from workers.embedded.training.summary.reports import KINDS, draw_report
from workers.embedded.training.summary.rouge import longest_common, rouge_l, words
from workers.embedded.training.summary.worn import wear
from workers.embedded.training.texts import values

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

SLOT = re.compile(r"\{\w+\}")


@cache
def shipped() -> tuple[Model, Tokenizer]:
    return load(SUMMARY)


def test_the_folder_is_small() -> None:
    assert sum(path.stat().st_size for path in SUMMARY.iterdir()) <= 6_600_000


def test_it_loads_with_the_plain_auto_classes() -> None:
    model = AutoModelForSeq2SeqLM.from_pretrained(SUMMARY)
    assert isinstance(model, T5ForConditionalGeneration)
    how, tokenizer = model.generation_config, AutoTokenizer.from_pretrained(SUMMARY)
    assert (how.num_beams, how.do_sample, how.decoder_start_token_id) == (1, False, tokenizer.pad_token_id)
    ids = tokenizer.encode("Hello")
    assert (ids[0], ids[-1]) == (tokenizer.bos_token_id, how.eos_token_id)
    assert tokenizer.model_max_length == 512


@pytest.mark.parametrize("text", ["Größe 1 024 🦊", "a  b\n\n\tc", "日本語", "<html>&amp;</html>"])
def test_any_text_survives_the_tokenizer(text: str) -> None:
    tokenizer = shipped()[1]
    assert tokenizer.decode(tokenizer.encode(text), skip_special_tokens=True) == text


def test_the_facts_of_new_reports_are_told() -> None:
    some = reports(new=False, size=60)
    found = report_scores(some, respond(*shipped(), [one.text for one in some]))
    assert found.rouge >= 0.85, found
    assert found.rouge > found.rouge_of_lead
    assert found.facts_right >= 0.7, found
    assert found.names_invented <= 0.1, found


def test_reports_in_new_wordings_keep_their_names() -> None:
    some = reports(new=True, size=60)
    found = report_scores(some, respond(*shipped(), [one.text for one in some]))
    assert found.rouge >= 0.75, found
    assert found.facts_right >= 0.5, found
    assert found.names_invented <= 0.1, found


def test_of_unknown_texts_it_copies() -> None:
    said = respond(*shipped(), OUTSIDE)
    found = copying(OUTSIDE, [lead(sentences(text)) for text in OUTSIDE], said)
    assert found.all_words_from_source >= 0.5, (found, said)
    assert found.compression >= 2


def test_held_out_wordings_never_come_in_training() -> None:
    dice = Random(21)
    read = "\n".join(draw_pair(dice)[0] for _ in range(3000))
    fixed = [
        max(row.replace("]", "[").replace("}", "[").replace("{", "[").split("["), key=len)
        for block in KINDS.values()
        for key in ("new all", "new lead", "new rest", "new extra")
        for row in values(block, key)
    ]
    assert len(fixed) > 20
    assert not [row for row in fixed if len(row) > 20 and row in read]


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_report_holds_every_fact_of_its_summary(kind: str) -> None:
    dice = Random(22)
    for new in (False, True):
        for _ in range(20):
            report = draw_report(dice, new, kind)
            assert not {"{", "}", "[", "]"} & set(report.text + report.summary), report
            numbers_turned = kind == "match"
            missing = [fact for fact in report.facts if fact.lower() not in report.text.lower()]
            assert not missing or numbers_turned, (missing, report)
            assert all(fact.lower() in report.summary.lower() for fact in report.facts)


def test_worn_wordings_keep_their_facts_and_change() -> None:
    dice, rows = Random(25), [row for block in KINDS.values() for row in values(block, "lead")]
    worn = [wear(dice, row) for row in rows]
    assert [sorted(SLOT.findall(row)) for row in rows] == [sorted(SLOT.findall(row)) for row in worn]
    changed = sum(one != two for one, two in zip(rows, worn, strict=True))
    assert 0.2 < changed / len(rows) < 0.5


def test_an_extract_is_the_first_real_sentence() -> None:
    dice = Random(23)
    for _ in range(200):
        text, first = draw_extract(dice)
        assert first in text
    assert lead(["Hello!", "The sun is out today."]) == "The sun is out today."
    assert lead(["Hello!"]) == "Hello!"


def test_a_drill_asks_for_the_first_row() -> None:
    for source, target in zip(*drill(Random(24), 500, 20), strict=True):
        assert source[1 : len(target)] == target[:-1]
        assert (source[0], source[-1], target[-1]) == (2, 1, 1)


def test_rouge_l_counts_words_in_their_order() -> None:
    assert words('He paid $4.5 million, "really".') == ["he", "paid", "$4.5", "million", "really"]
    assert longest_common(["a", "b", "c", "d"], ["b", "x", "d"]) == 2
    assert rouge_l("The cat sat.", "the cat sat") == 1.0
    assert rouge_l("one two", "three four") == 0.0
    assert rouge_l("the cat sat", "the cat ran off") == pytest.approx(2 * 2 / 7)


def test_the_card_tells_what_was_measured() -> None:
    card = (SUMMARY / "README.md").read_text()
    for said in ("ROUGE-L", "copies a sentence", "What it cannot do", "invented"):
        assert said in card
    assert json.loads((SUMMARY / "training.json").read_text())["step"] > 0
