"""How the weights of an encoder-decoder begin: random, but able to copy a word from the source.

Copying an unseen name is a circuit of two steps: the encoder notes at each token what stood before
it, and the decoder looks for the place whose note is the token that it wrote last (the induction
heads of Olsson et al. 2022, laid out over two stacks). Left to itself it comes late in so short a
training; here it is there at step 0, and training is free to change every weight of it.
"""

import math
from typing import Any, TypeAlias

import torch
from torch import Tensor

# A T5ForConditionalGeneration: its annotations hide what its attributes are.
_T5: TypeAlias = Any

_EMBEDDING, _LOGITS = 0.2, 4.0
_LOOK, _MATCH, _WRITE = 6.0, 0.8, 0.5
# Buckets of T5's relative positions: one token back, and in the encoder one token on.
_BACK, _ON = 1, 17
_NUM_CARRIERS = 2


def _orthonormal(rows: int, columns: int) -> Tensor:
    square: Tensor = torch.linalg.qr(torch.randn(columns, columns))[0]
    return square[:rows]


def _note_previous(model: _T5, size: int, head: int, where: Tensor) -> Tensor:
    """The first encoder layer writes into the directions `where` what the previous token was."""
    first = model.encoder.block[0].layer[0].SelfAttention
    what = _orthonormal(size, where.shape[1])
    rows = slice(head * size, (head + 1) * size)
    first.q.weight[rows] = 0
    first.v.weight[rows] = what
    first.o.weight[:, rows] = _WRITE * where.T
    return what


def _carry(model: _T5, size: int, head: int, what: Tensor, where: Tensor) -> None:
    """The first decoder layer looks where that note is its last token, and writes down what stands there."""
    cross = model.decoder.block[0].layer[1].EncDecAttention
    rows = slice(head * size, (head + 1) * size)
    value = _orthonormal(size, where.shape[1])
    cross.q.weight[rows] = _MATCH * what
    cross.k.weight[rows] = _MATCH * where
    cross.v.weight[rows] = value
    cross.o.weight[:, rows] = _WRITE * value.T


@torch.no_grad()
def begin(model: _T5) -> None:
    """Sets the weights to begin with, from torch's seed; needs two heads in each stack."""
    size, width = model.config.d_kv, model.config.d_model
    model.shared.weight.normal_(0.0, _EMBEDDING)
    model.decoder.final_layer_norm.weight.fill_(_LOGITS)
    blocks = 2 * model.config.num_layers
    for name, weight in model.named_parameters():
        if name.endswith((".o.weight", ".wo.weight")):
            weight.normal_(0.0, 0.5 * _EMBEDDING / math.sqrt(blocks * size))
    looks = model.encoder.block[0].layer[0].SelfAttention.relative_attention_bias.weight
    looks[:, : _NUM_CARRIERS + 1] = 0
    looks[_BACK, :_NUM_CARRIERS] = _LOOK
    looks[_ON, _NUM_CARRIERS] = _LOOK
    model.decoder.block[0].layer[0].SelfAttention.relative_attention_bias.weight[_BACK, 0] = _LOOK
    for head in range(_NUM_CARRIERS):
        where = _orthonormal(size, width)
        _carry(model, size, head, _note_previous(model, size, head, where), where)
