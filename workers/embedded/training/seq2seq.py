"""The models that read one text and write another (T5, Raffel et al. 2019): shape, training, answers."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    GenerationConfig,
    T5Config,
    T5ForConditionalGeneration,
)

from workers.embedded.training import descent
from workers.embedded.training.descent import Model, adam
from workers.embedded.training.schedule import Done
from workers.embedded.training.seq2seq_feed import END_ID, PAD_ID, Batch, Feed, Plan, Tokenizer
from workers.embedded.training.seq2seq_start import begin


def shape(vocabulary: int, inner: int) -> T5Config:
    """About 3 million parameters: 6 MB in bfloat16."""
    fixed: dict[str, Any] = {"tie_word_embeddings": True, "decoder_start_token_id": PAD_ID}
    return T5Config(
        vocab_size=vocabulary,
        d_model=192,
        d_ff=inner,
        d_kv=32,
        num_heads=6,
        num_layers=3,
        num_decoder_layers=3,
        feed_forward_proj="gated-gelu",
        dropout_rate=0.0,
        pad_token_id=PAD_ID,
        eos_token_id=END_ID,
        **fixed,
    )


def build_model(config: T5Config, seed: int) -> Model:
    """A fresh float32 model; the seed fixes its weights."""
    torch.manual_seed(seed)
    model = T5ForConditionalGeneration(config)
    begin(model)
    return model


def make_optimizer(model: Model, plan: Plan) -> torch.optim.AdamW:
    """AdamW that decays matrices and leaves norms alone, and learns queries more slowly."""
    # T5 does not divide scores by the root of the head's size, so its query weights begin that much
    # smaller; at the full rate they jumped by a sixth a step, and the loss hung at 3.8 where it now
    # falls to 3.5 in 80 steps.
    kinds: dict[tuple[float, float], list[torch.nn.Parameter]] = {}
    for name, weight in model.named_parameters():
        scale = model.config.d_kv**-0.5 if name.endswith(".q.weight") else 1.0
        kinds.setdefault((scale, plan.weight_decay if weight.ndim >= 2 else 0.0), []).append(weight)
    groups = [
        {"params": weights, "weight_decay": decay, "scale": scale}
        for (scale, decay), weights in kinds.items()
    ]
    return adam(groups, plan, (0.9, 0.98))


def loss_of(model: Model, rows: Batch) -> torch.Tensor:
    """Mean loss per target token, in nats, computed in bfloat16."""
    source, target = rows
    with torch.autocast("cpu", torch.bfloat16):
        loss: torch.Tensor = model(
            input_ids=source, attention_mask=(source != PAD_ID).long(), labels=target
        ).loss
    return loss


def train(
    model: Model,
    feed: Feed,
    plan: Plan,
    checkpoint: Path,
    log: Callable[[str], None] = print,
    stop_at: int | None = None,
) -> Done:
    """Trains from the checkpoint, if there is one, up to `stop_at` or the end of the plan."""

    def loss_at(step: int) -> tuple[torch.Tensor, int]:
        rows = feed.batch(step)
        return loss_of(model, rows), sum(int((one > PAD_ID).sum()) for one in rows)

    return descent.train(model, make_optimizer(model, plan), plan, loss_at, checkpoint, log, stop_at)


def export(model: Model, tokenizer: Tokenizer, out: Path, max_new_tokens: int, no_repeat: int = 0) -> None:
    """Weights in bfloat16, tokenizer and generation settings, as transformers loads them.

    An answer says no `no_repeat` tokens twice in the same order; 0 forbids nothing.
    """
    model.bfloat16().save_pretrained(out)
    tokenizer.save_pretrained(out)
    GenerationConfig(  # type: ignore[no-untyped-call]
        pad_token_id=PAD_ID,
        eos_token_id=END_ID,
        decoder_start_token_id=PAD_ID,
        num_beams=1,
        do_sample=False,
        max_new_tokens=max_new_tokens,
        no_repeat_ngram_size=no_repeat or None,
    ).save_pretrained(out)


def load(folder: Path) -> tuple[Model, Tokenizer]:
    """The model in float32 and its tokenizer, loaded as anyone would load them."""
    model: Model = AutoModelForSeq2SeqLM.from_pretrained(folder, dtype=torch.float32)
    return model.eval(), AutoTokenizer.from_pretrained(folder)


@torch.inference_mode()
def respond(model: Model, tokenizer: Tokenizer, texts: Sequence[str], rows: int = 50) -> list[str]:
    """The model's greedy answer to each text; a text is cut at the tokenizer's limit."""
    order = sorted(range(len(texts)), key=lambda at: len(texts[at]))
    found = [""] * len(texts)
    for start in range(0, len(order), rows):
        some = order[start : start + rows]
        batch = tokenizer([texts[at] for at in some], padding=True, truncation=True, return_tensors="pt")
        out = model.generate(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
        for at, text in zip(some, tokenizer.batch_decode(out, skip_special_tokens=True), strict=True):
            found[at] = text
    return found
