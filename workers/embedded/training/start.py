"""How the weights begin: random, but with a small circuit that can already carry a word over.

Left to itself a model of this size finds induction heads (Olsson et al. 2022, "In-context Learning
and Induction Heads") only after many more tokens than an hour on one CPU thread can read: after two
million it told fluent stories about the wrong animal. So the first layer begins with heads that look
at the previous token, the second with heads that look for what followed the current token earlier
and write it down. Training is free to change every weight of them, and does.
"""

import math
from typing import Any, TypeAlias

import torch
from torch import Tensor

# A LlamaForCausalLM: its annotations hide what its attributes are.
_Llama: TypeAlias = Any

# Dimension 0 of the stream is the same for every token: queries and keys that read it alone see
# nothing but positions.
_CONSTANT = 0.2
_EMBEDDING = 0.02
_NUM_CARRIERS = 3
_WRITE = 0.06
_SHARPNESS, _MATCH = 6.3, 3.0


def _orthonormal(rows: int, columns: int) -> Tensor:
    """[rows, columns] with orthonormal rows that ignore the constant dimension."""
    square = torch.linalg.qr(torch.randn(columns - 1, columns - 1))[0][:rows]
    return torch.cat([torch.zeros(rows, 1), square], dim=1)


def _frequencies(head_dim: int, theta: float) -> Tensor:
    """Radians per position of each pair of dimensions, [D / 2] (RoPE, Su et al. 2021)."""
    return theta ** (-torch.arange(head_dim // 2) / (head_dim // 2))


def _slow(head_dim: int, theta: float) -> Tensor:
    """The dimensions of a head that turn by less than a radian in 150 positions: they hold content."""
    pairs = (_frequencies(head_dim, theta) < 1 / 150).nonzero().flatten()
    return torch.cat([pairs, pairs + head_dim // 2])


def _look_back(model: _Llama, head: int) -> None:
    """Makes a head of the first layer look at the previous token, whatever the tokens are."""
    config, attention = model.config, model.model.layers[0].self_attn
    size = config.head_dim
    turn = _frequencies(size, config.rope_parameters["rope_theta"])[:6]
    hidden = config.hidden_size
    norm = math.sqrt(_CONSTANT**2 + (hidden - 1) * _EMBEDDING**2)
    strength = _SHARPNESS / (_CONSTANT * math.sqrt(hidden) / norm)
    at = head * size
    for weight in (attention.q_proj.weight, attention.k_proj.weight):
        weight[at : at + size] = 0
    pairs = torch.arange(6)
    attention.k_proj.weight[at + pairs, 0] = strength
    attention.q_proj.weight[at + pairs, 0] = strength * torch.cos(turn)
    attention.q_proj.weight[at + size // 2 + pairs, 0] = -strength * torch.sin(turn)


def _carry(model: _Llama, head: int) -> None:
    """Makes a head of the second layer find what followed the current token, and write it down."""
    first, second = (model.model.layers[n].self_attn for n in (0, 1))
    hidden, size = model.config.hidden_size, model.config.head_dim
    slow = _slow(size, model.config.rope_parameters["rope_theta"])
    what, where = _orthonormal(len(slow), hidden), _orthonormal(len(slow), hidden)
    # Two carriers share one look-back head: half of its values each.
    at = head // 2 * size + head % 2 * (size // 2)
    first.v_proj.weight[at : at + len(slow)] = what
    first.o_proj.weight[:, at : at + len(slow)] = _WRITE * where.T
    at = head * size
    for weight, reads in ((second.q_proj.weight, what), (second.k_proj.weight, where)):
        weight[at : at + size] = 0
        weight[at + slow] = _MATCH * reads
    value = _orthonormal(size, hidden)
    second.v_proj.weight[at : at + size] = value
    second.o_proj.weight[:, at : at + size] = _WRITE * value.T


@torch.no_grad()
def begin(model: _Llama) -> None:
    """Sets the weights to begin with, from torch's seed; needs four plain heads in two layers."""
    for name, weight in model.named_parameters():
        if name.endswith(("o_proj.weight", "down_proj.weight")):
            # What the blocks add to the stream starts small, so that it does not drown the embeddings.
            weight.mul_(1 / math.sqrt(2 * model.config.num_hidden_layers))
    embeddings = model.get_input_embeddings().weight
    embeddings.normal_(0.0, _EMBEDDING)
    embeddings[:, 0] = _CONSTANT
    for head in range((_NUM_CARRIERS + 1) // 2):
        _look_back(model, head)
    for head in range(_NUM_CARRIERS):
        _carry(model, head)
