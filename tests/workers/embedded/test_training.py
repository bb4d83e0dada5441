"""The corpus is the same each time and holds back what the evaluation asks; training resumes exactly."""

import re
from itertools import islice
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from workers.embedded.training.cast import Wish, draw_cast
from workers.embedded.training.corpus import documents
from workers.embedded.training.drills import draw_drill
from workers.embedded.training.grammar import polish, repeats_a_sentence, sentences, write
from workers.embedded.training.heldout import NAMED_PAIRS, QUESTIONS, is_held_out
from workers.embedded.training.language import shape
from workers.embedded.training.plots import draw_plot
from workers.embedded.training.stories import tell, tell_long
from workers.embedded.training.story_talk import draw_story
from workers.embedded.training.tokens import encode, read_tokens, repeats, train_tokenizer, write_tokens
from workers.embedded.training.train import Plan, build_model, train
from workers.embedded.training.words import FAMILY

PLAN = Plan(steps=4, batch_tokens=64, row_tokens=32, long_every=2, long_row_tokens=64, warmup=2)


def row(seed: int, count: int) -> list[str]:
    return list(islice(documents(seed), count))


def test_the_same_seed_writes_the_same_text() -> None:
    assert row(7, 500) == row(7, 500)
    assert row(7, 500) != row(8, 500)


def test_every_template_is_filled() -> None:
    for document in row(3, 2000):
        assert not {"{", "}", "[", "]"} & set(document), document
        assert "a(n)" not in document, document


def test_held_out_pairs_never_meet() -> None:
    dice = Random(11)
    for _ in range(6000):
        cast = draw_cast(dice)
        assert not is_held_out(cast.hero.kind, cast.thing)
        assert not is_held_out(cast.friend.kind, cast.thing)


def test_no_request_for_a_story_names_a_held_out_pair() -> None:
    dice = Random(12)
    for _ in range(5000):
        told = draw_story(dice)
        words = set(told.prompt.lower().replace(".", " ").replace(",", " ").replace("?", " ").split())
        assert not any({kind, thing} <= words for kind, thing in NAMED_PAIRS), told.prompt


def test_held_out_questions_are_absent() -> None:
    text = "\n".join(row(13, 8000))
    assert not [question for question in QUESTIONS if question in text]


def test_drills_ask_for_words_of_the_prompt_and_keep_held_out_pairs_apart() -> None:
    dice = Random(14)
    for _ in range(2000):
        ask, answer = draw_drill(dice)
        words = set(re.findall(r"\w+", ask.lower()))
        assert not any({kind, thing} <= words for kind, thing in NAMED_PAIRS), ask
        assert words & set(re.findall(r"\w+", answer.lower()))


@pytest.mark.parametrize("teller", [tell, tell_long])
def test_a_story_names_its_cast_and_repeats_nothing(teller: object) -> None:
    dice = Random(5)
    for _ in range(200):
        cast = draw_cast(dice, Wish(kind="fox", thing="lantern"))
        plot = draw_plot(dice, FAMILY["lantern"])
        story = tell(dice, cast, plot) if teller is tell else tell_long(dice, cast, plot)
        assert "fox" in story
        assert "lantern" in story
        assert not repeats_a_sentence(story)


def test_polish_agrees_articles_and_capitals() -> None:
    assert (
        polish('a(n) owl saw a(n) fox.  it ran. "go." the end') == 'An owl saw a fox. It ran. "Go." The end'
    )
    assert write(Random(0), "{x} [is|is] here.", {"x": "she"}) == "She is here."
    assert sentences('"Yes," he said. "No." Then he left.') == ['"Yes," he said.', '"No.', "Then he left."]


def test_random_tokens_are_said_twice() -> None:
    row = repeats(seed=3, num_tokens=500, vocabulary=300).tolist()
    said = row[2 : row.index(1)]
    assert row[: 2 * len(said) + 5] == [0, 3, *said, 1, 4, *said, 1]


def test_the_first_weights_already_carry_a_word_over() -> None:
    """Where a token stood before, the second layer looks at what followed it there."""
    model = build_model(shape(2048), seed=1)
    model.config._attn_implementation = "eager"
    row = repeats(seed=5, num_tokens=80, vocabulary=2048).tolist()
    said = row[2 : row.index(1)]
    out = model(input_ids=torch.tensor([row[: 2 * len(said) + 4]]), output_attentions=True)
    looks = out.attentions[1][0, :3]
    # The nth said token stands at n + 2 first and at n + len(said) + 4 again.
    found = torch.stack([looks[:, n + len(said) + 4, n + 3] for n in range(len(said) - 1)])
    assert found.mean() > 0.3


def micro() -> LlamaForCausalLM:
    shape = LlamaConfig(
        vocab_size=300,
        hidden_size=64,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=64,
        tie_word_embeddings=True,
    )
    return build_model(shape, seed=1)


def test_training_resumes_from_its_checkpoint_as_if_never_broken(tmp_path: Path) -> None:
    tokens = np.random.default_rng(0).integers(0, 300, PLAN.steps * PLAN.batch_tokens).astype(np.uint16)
    whole, broken = micro(), micro()
    done = train(whole, tokens, PLAN, tmp_path / "whole.pt")
    train(broken, tokens, PLAN, tmp_path / "broken.pt", stop_at=2)
    resumed = micro()
    again = train(resumed, tokens, PLAN, tmp_path / "broken.pt")
    assert again["step"] == done["step"] == PLAN.steps
    assert again["loss"] == done["loss"]
    for name, weight in whole.state_dict().items():
        assert torch.equal(weight, resumed.state_dict()[name]), name


def test_tokens_are_written_whole_and_decode_to_the_corpus(tmp_path: Path) -> None:
    tokenizer = train_tokenizer(seed=2, num_documents=200, vocabulary=400)
    write_tokens(encode(tokenizer, documents(7), 2000), tmp_path / "tokens.bin")
    ids = read_tokens(tmp_path / "tokens.bin")
    assert ids.shape == (2000,)
    text = str(tokenizer.decode(ids[:1500].tolist()))
    assert "".join(row(7, 50)).startswith(text[:1000])
    assert [path.name for path in tmp_path.iterdir()] == ["tokens.bin"]
