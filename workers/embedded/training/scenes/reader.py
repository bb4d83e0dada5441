"""The second stage: a text encoder (CLIPTextModel) that learns to read prompts before it meets a picture.

It learns to say, at its last four tokens, what the prompt asks for: the background and up to three
items. Captions cost next to nothing, so it reads a hundred times more of them than the denoiser sees
pictures, and the denoiser, which attends to those tokens, is spared learning to read.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from random import Random

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from workers.embedded.training import descent
from workers.embedded.training.descent import Model, adam
from workers.embedded.training.scenes.captions import caption, said
from workers.embedded.training.scenes.heldout import training_scene
from workers.embedded.training.scenes.palette import BACKGROUNDS, COLOURS
from workers.embedded.training.scenes.scene import (
    LANDSCAPES,
    PLACES,
    RELATIONS,
    SHAPES,
    SIZES,
    THINGS,
    Item,
    Scene,
)
from workers.embedded.training.scenes.tokens import CONTEXT
from workers.embedded.training.schedule import Done, Schedule

WIDTH = 128
MAX_ITEMS = 3
# What is asked of each item's token, and of the last one; "" is what the prompt leaves open.
_ITEM: dict[str, tuple[str, ...]] = {
    "kind": ("", *SHAPES, *THINGS),
    "colour": ("", *COLOURS),
    "second": ("", *COLOURS),
    "size": tuple(SIZES),
    "place": ("", *PLACES),
    "count": ("1", "2", "3", "4"),
}
_SCENE: dict[str, tuple[str, ...]] = {
    "background": ("", *BACKGROUNDS, *LANDSCAPES),
    "relation": ("", *RELATIONS),
}
_NOTHING = Item("", "")


@dataclass(frozen=True)
class Plan(Schedule):
    steps: int = 4000
    learning_rate: float = 1.5e-3
    batch: int = 64
    seed: int = 20_000_000


def build_encoder(tokenizer: CLIPTokenizer, seed: int) -> Model:
    """A fresh CLIPTextModel of three layers and 128 hidden, about 0.6 million parameters."""
    torch.manual_seed(seed)
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=3 * WIDTH,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=CONTEXT,
        projection_dim=WIDTH,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return CLIPTextModel(config)


class Questions(nn.Module):
    """The text encoder with one linear answer to each question; only the encoder is kept."""

    def __init__(self, encoder: Model) -> None:
        super().__init__()
        self.encoder = encoder
        asked = chain(_ITEM.items(), _SCENE.items())
        self.answers = nn.ModuleDict({name: nn.Linear(WIDTH, len(choices)) for name, choices in asked})

    def forward(self, token_ids: torch.Tensor) -> dict[str, torch.Tensor]:
        """token_ids [B, CONTEXT] int64; logits [B, items, choices] and, of the scene, [B, 1, choices]."""
        hidden = self.encoder(token_ids).last_hidden_state
        items, scene = hidden[:, -1 - MAX_ITEMS : -1], hidden[:, -1:]
        return {name: answer(items if name in _ITEM else scene) for name, answer in self.answers.items()}


def answers_to(scene: Scene) -> dict[str, list[int]]:
    """The right choices for what a prompt says, one for each item or one for the scene."""
    items = sorted(scene.items, key=_order) if scene.items[0].kind in THINGS else list(scene.items)
    items += [_NOTHING] * (MAX_ITEMS - len(items))
    answers = {
        name: [choices.index(str(getattr(item, name))) for item in items] for name, choices in _ITEM.items()
    }
    return answers | {name: [choices.index(getattr(scene, name))] for name, choices in _SCENE.items()}


def _order(item: Item) -> int:
    return THINGS.index(item.kind)


def tokens_of(tokenizer: CLIPTokenizer, texts: list[str]) -> torch.Tensor:
    """Token ids [B, CONTEXT] int64, padded with the end token as the pipeline does."""
    batch = tokenizer(texts, padding="max_length", truncation=True, return_tensors="pt")
    token_ids: torch.Tensor = batch["input_ids"]
    return token_ids


def _loss(model: Questions, tokenizer: CLIPTokenizer, plan: Plan, step: int) -> torch.Tensor:
    dice = Random(plan.seed + step)
    scenes = [said(training_scene(dice), dice) for _ in range(plan.batch)]
    device = model.encoder.device
    token_ids = tokens_of(tokenizer, [caption(scene, dice) for scene in scenes]).to(device)
    answers = [answers_to(scene) for scene in scenes]
    with torch.autocast(device.type, torch.bfloat16):
        logits = model(token_ids)
    losses = []
    for name, found in logits.items():
        right = torch.tensor([row[name] for row in answers], device=device)
        losses.append(cross_entropy(found.float().flatten(0, 1), right.flatten()))
    return torch.stack(losses).sum()


def train(
    model: Questions,
    tokenizer: CLIPTokenizer,
    plan: Plan,
    checkpoint: Path,
    log: Callable[[str], None] = print,
) -> Done:
    """Trains from the checkpoint, if there is one, to the plan's end."""
    groups = [{"params": list(model.parameters()), "weight_decay": 0.01}]

    def loss_at(step: int) -> tuple[torch.Tensor, int]:
        return _loss(model, tokenizer, plan, step), plan.batch * CONTEXT

    return descent.train(model, adam(groups, plan, (0.9, 0.98)), plan, loss_at, checkpoint, log)
