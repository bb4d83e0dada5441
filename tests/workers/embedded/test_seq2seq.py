"""The text-to-text models train the same after a break, read what was drawn, and can copy from the start."""

from pathlib import Path
from random import Random

import torch
from tokenizers import Tokenizer
from transformers import T5Config

from workers.embedded.training.seq2seq import Model, build_model, shape, train
from workers.embedded.training.seq2seq_feed import IGNORED, PAD_ID, Feed, Plan, copied, texts
from workers.embedded.training.seq2seq_tokens import train_tokenizer

PLAN = Plan(steps=6, batch_pairs=3, drills=2, primer=2, chunk_batches=2, warmup=2, save_every=3)


def draw(dice: Random) -> tuple[str, str]:
    word = dice.choice(("red", "blue", "green"))
    return f"it is {word} {dice.randint(1, 99)}", word


def primer(dice: Random) -> tuple[str, str]:
    word = dice.choice("xyz")
    return word, word


def tokenizer() -> Tokenizer:
    return train_tokenizer(texts(draw, 1, 50), 300, 64)


def micro(vocabulary: int) -> Model:
    fixed = {"pad_token_id": PAD_ID, "eos_token_id": 1, "decoder_start_token_id": PAD_ID}
    config = T5Config(
        vocab_size=vocabulary,
        d_model=64,
        d_ff=32,
        d_kv=16,
        num_heads=4,
        num_layers=1,
        dropout_rate=0.0,
        **fixed,
    )
    return build_model(config, seed=1)


def test_the_same_step_has_the_same_rows() -> None:
    words = tokenizer()
    first, second = Feed(draw, words, PLAN, primer=primer), Feed(draw, words, PLAN, primer=primer)
    for step in (5, 0, 3):
        assert all(torch.equal(*pair) for pair in zip(first.batch(step), second.batch(step), strict=True))


def test_a_run_begins_with_drills_and_easy_pairs() -> None:
    words = tokenizer()
    feed = Feed(draw, words, PLAN, primer=primer)
    sources = [feed.batch(step)[0] for step in range(PLAN.steps)]
    assert torch.equal(sources[0], feed.batch(0)[1])
    assert {words.decode(row, skip_special_tokens=True) for row in sources[2]} <= {"x", "y", "z"}
    assert words.decode(sources[4][0], skip_special_tokens=True).startswith("it is ")


def test_targets_are_padded_with_what_the_loss_ignores() -> None:
    feed = Feed(draw, tokenizer(), PLAN)
    targets = torch.cat([feed.batch(step)[1].flatten() for step in range(2, PLAN.steps)])
    assert PAD_ID not in targets.tolist()
    assert targets.min() >= IGNORED


def test_training_resumes_from_its_checkpoint_as_if_never_broken(tmp_path: Path) -> None:
    words = tokenizer()
    whole, broken = micro(len(words)), micro(len(words))
    done = train(whole, Feed(draw, words, PLAN), PLAN, tmp_path / "whole.pt")
    train(broken, Feed(draw, words, PLAN), PLAN, tmp_path / "broken.pt", stop_at=3)
    resumed = micro(len(words))
    again = train(resumed, Feed(draw, words, PLAN), PLAN, tmp_path / "broken.pt")
    assert (again["step"], again["loss"], again["tokens"]) == (done["step"], done["loss"], done["tokens"])
    for name, weight in whole.state_dict().items():
        assert torch.equal(weight, resumed.state_dict()[name]), name


def test_the_first_weights_look_where_a_word_is_to_be_copied_from() -> None:
    """Before any training the first decoder layer looks at what follows its last token in the source."""
    model = build_model(shape(2048, 64), seed=1)
    model.set_attn_implementation("eager")
    row = torch.tensor(copied(Random(5), 2048, 1)[0])
    out = model(input_ids=row, labels=row, output_attentions=True)
    looks = out.cross_attentions[0][0, :2]
    # At step n the decoder reads token n - 1 of the row; what follows it stands at n.
    found = torch.stack([looks[:, n, n] for n in range(1, row.shape[1])])
    assert found.mean() > 0.5
