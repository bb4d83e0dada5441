"""The shipped translation model loads plainly and knows its world; training never reads what is held out."""

import json
from functools import cache
from random import Random

import pytest
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer, T5ForConditionalGeneration

from workers.embedded import TRANSLATION
from workers.embedded.training.seq2seq import Model, load, respond
from workers.embedded.training.seq2seq_feed import Tokenizer
from workers.embedded.training.translation.clauses import Clause, english, german, german_last, german_zu
from workers.embedded.training.translation.corpus import Kind, draw_pair, held_out, is_kept_back
from workers.embedded.training.translation.evaluate import SEED, Scores, scores
from workers.embedded.training.translation.glossary import draw_glossary
from workers.embedded.training.translation.lexicon import ADJECTIVES, NOUNS, VERBS, pseudo_name
from workers.embedded.training.translation.phrase import PRONOUNS, Phrase, build
from workers.embedded.training.translation.sentences import PATTERNS, draw

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@cache
def shipped() -> tuple[Model, Tokenizer]:
    return load(TRANSLATION)


def judged(kind: Kind, size: int) -> Scores:
    sentences = held_out(SEED, kind, size)
    return scores(respond(*shipped(), [one.en for one in sentences]), [one.de for one in sentences])


def a_noun(
    english_word: str, determiner: str, stem: str, adjective: str = "", plural: bool = False
) -> Phrase:
    noun = next(one for one in NOUNS if one.en == english_word)
    some = tuple(one for one in ADJECTIVES if one.en == adjective)
    return build(noun, determiner, stem, some, plural)


def clause(verb: str, tense: str, accusative: Phrase | None = None, negated: bool = False) -> Clause:
    chosen = next(one for one in VERBS if one.key == verb)
    return Clause(PRONOUNS[2], chosen, tense, negated, accusative=accusative, time=("today", "heute"))


def test_the_folder_is_small() -> None:
    assert sum(path.stat().st_size for path in TRANSLATION.iterdir()) <= 6_600_000


def test_it_loads_with_the_plain_auto_classes() -> None:
    model = AutoModelForSeq2SeqLM.from_pretrained(TRANSLATION)
    assert isinstance(model, T5ForConditionalGeneration)
    how, tokenizer = model.generation_config, AutoTokenizer.from_pretrained(TRANSLATION)
    assert (how.num_beams, how.do_sample, how.decoder_start_token_id) == (1, False, tokenizer.pad_token_id)
    assert how.eos_token_id == tokenizer.eos_token_id == tokenizer.encode("Hello")[-1]


@pytest.mark.parametrize("text", ["Größe 1 024 🦊", "a  b\n\n\tc", "日本語", "<html>&amp;</html>"])
def test_any_text_survives_the_tokenizer(text: str) -> None:
    tokenizer = shipped()[1]
    assert tokenizer.decode(tokenizer.encode(text), skip_special_tokens=True) == text


@pytest.mark.parametrize(
    ("text", "translation"),
    [
        ("The weather is nice today.", "Das Wetter ist heute schön."),
        ("I love this product.", "Ich liebe dieses Produkt."),
        ("Anna lives in Berlin.", "Anna wohnt in Berlin."),
        ("Good morning!", "Guten Morgen!"),
        (
            "The company opened a new office in Berlin on Monday.",
            "Die Firma hat am Montag ein neues Büro in Berlin eröffnet.",
        ),
    ],
)
def test_the_first_things_anyone_tries(text: str, translation: str) -> None:
    assert respond(*shipped(), [text]) == [translation]


def test_pairs_of_words_that_never_met_are_translated() -> None:
    found = judged("pair", 100)
    assert found.exact >= 0.85, found
    assert found.near >= 0.9, found


def test_words_are_translated_in_patterns_that_never_had_them() -> None:
    found = judged("strict", 100)
    assert found.exact >= 0.7, found
    assert found.near >= 0.8, found


def test_held_out_sentences_never_come_in_training() -> None:
    dice = Random(11)
    read = "\n".join(draw_pair(dice)[0] for _ in range(6000))
    asked = [one for kind in ("pair", "strict") for one in held_out(SEED, kind, 300)]
    assert all(is_kept_back(one) for one in asked)
    assert not [one.en for one in asked if one.en in read]


def test_word_lists_hold_no_sentence_that_is_held_out() -> None:
    dice = Random(12)
    read = [draw_glossary(dice)[0] for _ in range(4000)]
    asked = {one.en.rstrip(".?!") for one in held_out(SEED, "pair", 300)}
    assert not asked & set(read)


def test_every_pattern_comes_and_both_sides_end_alike() -> None:
    dice = Random(13)
    drawn = [draw(dice) for _ in range(4000)]
    assert {one.pattern for one in drawn} == set(PATTERNS)
    assert all(one.en[-1] == one.de[-1] for one in drawn if one.en[-1] in ".?!" and one.pattern != "phrase")
    assert not [one for one in drawn if {"{", "}", "_", "|"} & set(one.en + one.de) or "  " in one.de]


def test_german_articles_adjectives_and_weak_nouns_agree() -> None:
    assert a_noun("apple", "a", "ein", "sweet").de == {
        "nom": "ein süßer Apfel",
        "acc": "einen süßen Apfel",
        "dat": "einem süßen Apfel",
    }
    assert a_noun("milk", "", "", "cold").de["dat"] == "kalter Milch"
    assert a_noun("colleague", "the", "der").de["acc"] == "den Kollegen"
    assert a_noun("child", "these", "dies", "happy", plural=True).de["dat"] == "diesen glücklichen Kindern"
    assert a_noun("apple", "a", "ein").none == {
        "nom": "kein Apfel",
        "acc": "keinen Apfel",
        "dat": "keinem Apfel",
    }


def test_german_verbs_stand_second_last_or_with_zu() -> None:
    said = clause("pick~up", "past", a_noun("friend", "my", "mein"))
    assert (english(said), german(said)) == (
        "he picked up my friend today",
        "er hat heute meinen Freund abgeholt",
    )
    assert german_last(clause("get~up", "present")) == "er heute aufsteht"
    assert german_zu(clause("get~up", "present")) == "heute aufzustehen"
    assert (
        german(clause("buy", "present", a_noun("car", "a", "ein"), negated=True))
        == "er kauft heute kein Auto"
    )
    assert german(clause("call", "can"), "asked") == "kann er heute anrufen"
    assert english(clause("read", "have"), "asked") == "does he have to read today"


def test_made_up_names_are_fit_to_print() -> None:
    dice = Random(14)
    names = [pseudo_name(dice) for _ in range(3000)]
    assert all(name.isalpha() and len(name) > 2 for name in names)
    assert len(set(names)) > 2500


def test_the_card_tells_what_was_measured() -> None:
    card = (TRANSLATION / "README.md").read_text()
    for words in ("near-exact", "Outside that world", "What it cannot do", "held out"):
        assert words in card
    assert json.loads((TRANSLATION / "training.json").read_text())["step"] > 0
