"""The training loop of the models that read one text and write another (T5, Raffel et al. 2019).

Every step is a function of its number, so a resumed run equals an unbroken one.
"""

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import torch
from transformers import (
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    GenerationConfig,
    T5Config,
    T5ForConditionalGeneration,
)

from workers.embedded.training.seq2seq_feed import END_ID, PAD_ID, Batch, Feed, Plan, Tokenizer
from workers.embedded.training.seq2seq_start import begin
from workers.embedded.training.train import save_checkpoint

# transformers' annotations hide what these classes can do.
Model: TypeAlias = Any


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
    return torch.optim.AdamW(groups, lr=plan.learning_rate, betas=(0.9, 0.98), fused=True)


def take_step(model: Model, optimizer: torch.optim.AdamW, rows: Batch, plan: Plan, step: int) -> float:
    """One update on these rows; returns the mean loss per target token, in nats, before it."""
    for group in optimizer.param_groups:
        group["lr"] = plan.rate(step) * group["scale"]
    source, target = rows
    with torch.autocast("cpu", torch.bfloat16):
        loss = model(input_ids=source, attention_mask=(source != PAD_ID).long(), labels=target).loss
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), plan.clip)
    optimizer.step()
    optimizer.zero_grad()
    return float(loss.item())


def train(
    model: Model,
    feed: Feed,
    plan: Plan,
    checkpoint: Path,
    log: Callable[[str], None] = print,
    stop_at: int | None = None,
) -> dict[str, Any]:
    """Trains from the checkpoint, if there is one, up to `stop_at` or the end of the plan.

    Returns `{"step", "seconds", "loss", "tokens"}`: steps done, time and tokens of all runs, smoothed loss.
    """
    optimizer = make_optimizer(model, plan)
    done: dict[str, Any] = {"step": 0, "seconds": 0.0, "loss": math.nan, "tokens": 0}
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        done = state["done"]
    model.train()
    started = time.monotonic() - done["seconds"]
    last = min(plan.steps, stop_at or plan.steps)
    while (step := done["step"]) < last:
        rows = feed.batch(step)
        loss = take_step(model, optimizer, rows, plan, step)
        smooth = loss if math.isnan(done["loss"]) else 0.98 * done["loss"] + 0.02 * loss
        tokens = done["tokens"] + sum(int((one > PAD_ID).sum()) for one in rows)
        done = {"step": step + 1, "seconds": time.monotonic() - started, "loss": smooth, "tokens": tokens}
        if done["step"] % 50 == 0:
            spent = f"{loss:.4f} (smoothed {smooth:.4f}) after {done['seconds']:.0f} s"
            log(f"step {step + 1}/{plan.steps} loss {spent}")
        if done["step"] % plan.save_every == 0 or done["step"] == last:
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "done": done}
            save_checkpoint(checkpoint, state)
    return done


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
