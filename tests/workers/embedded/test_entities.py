"""The shipped pipeline for names: it loads plainly, finds names it never met, and leaves other text alone."""

import json
from functools import cache
from random import Random

import pytest
import spacy

from workers.embedded import ENTITIES
from workers.embedded.training.mentions.card import megabytes
from workers.embedded.training.mentions.corpus import (
    check_templates,
    fresh,
    measured,
    plain_texts,
    sample,
    written_texts,
)
from workers.embedded.training.mentions.heldout import Kept, held_out_words, shared_templates, words
from workers.embedded.training.mentions.judge import Score, load, score, scores
from workers.embedded.training.mentions.marks import LABELS, Example, mark, read_by_hand, read_marks
from workers.embedded.training.mentions.model import Pipeline
from workers.embedded.training.mentions.strangers import rename


@cache
def shipped() -> Pipeline:
    return load(ENTITIES)


def marked(text: str) -> list[tuple[str, str]]:
    return [(name.text, name.label_) for name in shipped()(text).ents]


def test_it_is_a_plain_spacy_pipeline() -> None:
    nlp = spacy.load(ENTITIES)
    assert nlp.pipe_names == ["sentencizer", "tok2vec", "ner"]
    assert set(nlp.get_pipe("ner").labels) == set(LABELS)
    assert nlp.meta["license"] == "Apache-2.0"


def test_the_folder_takes_at_most_five_megabytes() -> None:
    assert megabytes(ENTITIES) <= 5


def test_names_that_it_never_met_are_found() -> None:
    found = scores(shipped(), measured())
    assert found["all"].f1 >= 0.85
    assert found["all"].true > 1000
    assert all(found[label].f1 >= 0.72 for label in LABELS)


def test_a_grammar_that_nothing_was_fitted_to_is_read() -> None:
    found = scores(shipped(), fresh())
    assert found["all"].f1 >= 0.82
    assert found["all"].true > 1000


def test_text_written_by_hand_is_read() -> None:
    assert scores(shipped(), written_texts())["all"].f1 >= 0.85


def test_text_without_names_is_left_alone() -> None:
    assert scores(shipped(), plain_texts())["all"].marked <= 10


def test_the_first_thing_anyone_tries() -> None:
    first = "Apple opened a new office in Berlin on Monday."
    text = f"{first} Tim Cook said the company would invest $2.5 billion by 2027."
    assert marked(text) == [
        ("Apple", "ORG"),
        ("Berlin", "GPE"),
        ("Monday", "DATE"),
        ("Tim Cook", "PERSON"),
        ("$2.5 billion", "MONEY"),
        ("2027", "DATE"),
    ]
    assert next(sentence.text for sentence in shipped()(text).sents) == first


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n\t ",
        "Hello! How are you?",
        "The quick brown fox jumps over the lazy dog.",
        "Please restart the server and try again.",
        "x = 42  # 😀",
        "猫はベッドで寝ています。",
    ],
)
def test_it_is_silent_where_nothing_is_named(text: str) -> None:
    assert marked(text) == []


def test_the_measure_shares_no_name_with_the_training_text() -> None:
    kept = Kept((*measured(), *fresh()))
    assert not kept.shown_by(sample("5/0", 5000))
    assert len(held_out_words()) > 200


def test_a_name_that_leaks_is_noticed() -> None:
    kept = Kept(measured())
    name = min(held_out_words())
    assert kept.shown_by([Example(f"Then {name} left.")]) == {name}
    one = next(one for one in measured() if any(label == "MONEY" for *_, label in one.spans))
    assert kept.shown_by([one])


def test_the_measure_shares_no_wording_with_the_training_text() -> None:
    check_templates()
    assert shared_templates(["{gpe} fell on the very first day."], ["We fell on the very first {day}."])


def test_the_training_text_is_the_same_each_time_and_filled() -> None:
    texts = sample("7", 3000)
    assert texts == sample("7", 3000)
    assert texts != sample("8", 3000)
    for one in (*texts, *measured()):
        assert not {"{", "}", "[", "]"} & set(one.text), one.text
        assert "a(n)" not in one.text, one.text
        assert all(one.text[start:end].strip() == one.text[start:end] for start, end, _ in one.spans)


def test_marks_become_spans() -> None:
    wanted = Example("Anna left Rome.", ((0, 4, "PERSON"), (10, 14, "GPE")))
    assert read_marks(f"{mark('PERSON', 'Anna')} left {mark('GPE', 'Rome')}.") == wanted
    assert read_by_hand("[Anna|PERSON] left [Rome|GPE].") == wanted
    assert words("Anna O'Neil's 2.5 Mercedes-Benz") == ["Anna", "O'Neil", "2.5", "Mercedes-Benz"]


def test_strangers_stand_for_names_and_keep_what_a_company_does() -> None:
    names = (mark("PERSON", "Anna"), mark("ORG", "Acme Motors"), mark("GPE", "Rome"), mark("DATE", "Monday"))
    one = read_marks(rename(Random(1), "{} left {} in {} on {}, said {}.".format(*names, names[0])))
    anna, company, town, day, again = (one.text[start:end] for start, end, _ in one.spans)
    assert anna == again
    assert not {"Anna", "Acme", "Rome"} & set(words(one.text))
    assert company.endswith(" Motors")
    assert (town.istitle(), day) == (True, "Monday")
    assert [label for *_, label in one.spans] == ["PERSON", "ORG", "GPE", "DATE", "PERSON"]
    assert (
        rename(Random(1), f"Then {mark('ORG', 'Bank of Rome')} fell.")
        == f"Then {mark('ORG', 'Bank of Rome')} fell."
    )


def test_a_name_counts_only_if_all_of_it_is_right() -> None:
    true = {(0, 4, "PERSON"), (10, 14, "GPE")}
    assert score([(true, true)]).f1 == 1
    assert score([(set(), true)]) == Score(0, 0, 2)
    assert score([({(0, 4, "ORG"), (10, 13, "GPE")}, true)]).f1 == 0
    half = score([({(0, 4, "PERSON"), (9, 14, "GPE")}, true)])
    assert (half.precision, half.recall, half.f1) == (0.5, 0.5, 0.5)


def test_a_pipeline_that_knows_nothing_fails_the_measure() -> None:
    assert scores(spacy.blank("en"), measured()[:50])["all"].f1 == 0


def test_the_card_tells_what_was_measured() -> None:
    card = (ENTITIES / "README.md").read_text(encoding="utf-8")
    for text in ("| all |", "What it cannot do", *(f"| {label} |" for label in LABELS)):
        assert text in card
    assert json.loads((ENTITIES / "training.json").read_text())["seconds"] < 30 * 60
