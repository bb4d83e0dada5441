"""The shipped sentiment model: it loads plainly and labels sentences that its training never held."""

import json
from functools import cache
from itertools import islice

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedTokenizerFast

from workers.embedded import SENTIMENT
from workers.embedded.training.opinions.corpus import LABELS, first_texts, texts
from workers.embedded.training.opinions.families import adverb, conjugate, step
from workers.embedded.training.opinions.heldout import (
    HELD_FORMS,
    HELD_TOPIC_WORDS,
    LINES,
    NEW_ROOTS,
    TAUGHT,
    leaks,
    lines,
    words_of,
)
from workers.embedded.training.opinions.judge import SETS, WEAK, Judge, free, sample, wrong
from workers.embedded.training.opinions.speaker import NEW_FORMS, plural
from workers.embedded.training.opinions.tokens import train_tokenizer, with_dropped_merges
from workers.embedded.training.opinions.train import Plan, build_model, train

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@cache
def judge() -> Judge:
    return Judge(SENTIMENT)


def accuracy(labelled: list[tuple[str, int]]) -> float:
    return judge().figure("", labelled).accuracy


def test_the_weights_are_at_most_four_megabytes() -> None:
    sizes = [path.stat().st_size for path in SENTIMENT.glob("*.safetensors")]
    assert len(sizes) == 1
    assert sizes[0] <= 4_000_000


def test_it_loads_with_the_plain_auto_classes() -> None:
    model = AutoModelForSequenceClassification.from_pretrained(SENTIMENT)
    assert model.config.id2label == {0: "NEGATIVE", 1: "NEUTRAL", 2: "POSITIVE"}
    tokenizer = AutoTokenizer.from_pretrained(SENTIMENT)
    assert isinstance(tokenizer, PreTrainedTokenizerFast)
    rows = tokenizer(["word " * 1000, "short"], padding=True, truncation=True, return_tensors="pt")
    assert set(rows) == {"input_ids", "attention_mask"}
    assert rows.input_ids.shape[1] == model.config.max_position_embeddings
    assert model(**rows).logits.shape == (2, 3)


def test_held_out_sentences_are_labelled_right() -> None:
    """About 120 of all kinds but the new roots; the card has the figures of each."""
    labelled = [one for _, kind, source in SETS for one in sample(kind, source, 18)]
    assert len(labelled) >= 120
    assert accuracy(labelled) >= 0.9


def test_texts_written_by_hand_are_mostly_labelled_right() -> None:
    assert accuracy(free("free")) >= 0.7


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("I love this product. The delivery was late, though.", "POSITIVE"),
        ("Apple opened a new office in Berlin on Monday.", "NEUTRAL"),
        ("The food was great but the service was awful and I will not be back.", "NEGATIVE"),
        ("This was not good at all.", "NEGATIVE"),
        ("She never disappoints.", "POSITIVE"),
        ("Hardly a pleasure.", "NEGATIVE"),
        ("Not bad at all!", "POSITIVE"),
        ("Hello, my name is Anna.", "NEUTRAL"),
    ],
)
def test_the_first_things_anyone_tries(text: str, label: str) -> None:
    assert LABELS[judge().label([text])[0]] == label


def test_a_label_does_not_depend_on_the_batch() -> None:
    asked = [text for text, _ in sample("plain", NEW_FORMS, 30)]
    assert judge().label(asked) == [judge().label([text])[0] for text in asked]


def test_training_text_holds_nothing_that_is_held_out() -> None:
    assert len(HELD_FORMS) >= 100
    assert len(HELD_TOPIC_WORDS) >= 50
    for draw in (texts, first_texts):
        said = [text for text, _ in islice(draw(Plan(steps=1).seed), 15_000)]
        assert leaks(said) == set()


def test_held_out_sentences_hold_what_is_held_out() -> None:
    """The check of leaks can fail: it finds the words in what is asked."""
    asked = [text for text, _ in sample("plain", NEW_FORMS, 50)]
    assert leaks(asked) & HELD_FORMS
    assert leaks([text for text, _ in sample(WEAK[1], WEAK[2], 50)]) & NEW_ROOTS
    assert all(words_of(text) & HELD_FORMS for text in asked)
    assert not TAUGHT & (HELD_FORMS | NEW_ROOTS)


def test_held_out_patterns_are_not_taught() -> None:
    taught = {line.text for found in lines(held_out=False).values() for line in found}
    asked = {line.text for kind, found in lines(held_out=True).items() if kind != "idiom" for line in found}
    assert not taught & asked
    assert len(asked) >= 80
    assert taught | asked == {line.text for line in LINES}


def test_the_same_seed_writes_the_same_text_and_every_slot_is_filled() -> None:
    drawn = list(islice(texts(5), 1000))
    assert drawn == list(islice(texts(5), 1000))
    assert {label for _, label in drawn} == {0, 1, 2}
    assert not [text for text, _ in drawn if {"{", "}", "[", "]"} & set(text)]


def test_words_bend_as_english_words_do() -> None:
    assert [adverb(word) for word in ("happy", "horrible", "tragic", "great")] == [
        "happily",
        "horribly",
        "tragically",
        "greatly",
    ]
    assert [step("sad", "er"), step("nice", "est"), step("ugly", "er")] == ["sadder", "nicest", "uglier"]
    assert conjugate("love") == ("love", "loves", "loved", "loving")
    assert conjugate("worry")[1:3] == ("worries", "worried")
    assert [plural("city"), plural("box"), plural("cup")] == ["cities", "boxes", "cups"]


def test_the_card_tells_what_was_measured() -> None:
    card = (SENTIMENT / "README.md").read_text()
    for name in ("negation", "mixed", "neutral statements", "written by hand", WEAK[0]):
        assert name in card
    assert "What it cannot do" in card
    assert json.loads((SENTIMENT / "training.json").read_text())["seconds"] < 20 * 60


def test_a_finished_training_is_not_done_again(tmp_path) -> None:  # type: ignore[no-untyped-def]
    tokenizer = train_tokenizer(seed=2, num_texts=200, vocabulary=400)
    assert with_dropped_merges(tokenizer).model.dropout is not None
    plan = Plan(steps=2, batch=4, chunk=2)
    model, again = build_model(len(tokenizer), 1), build_model(len(tokenizer), 2)
    done = train(model, tokenizer, plan, tmp_path / "checkpoint.pt")
    assert train(again, tokenizer, plan, tmp_path / "checkpoint.pt")["step"] == done["step"] == 2
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, again.state_dict()[name]), name


def test_wrong_ones_are_shown() -> None:
    assert wrong(judge(), [("I love it.", 0)]) == ["POSITIVE not NEGATIVE: I love it."]
