"""What torch's `varlen_attn` promises of a paged pool, by common operators, so that it runs anywhere."""

import torch
from torch import Tensor

from workers.llm.attention.varlen import Varlen


class Flash:
    """Counts its calls, and takes only what the function takes."""

    def __init__(self, page_tokens: int) -> None:
        self.num_calls = 0
        self.windows: set[tuple[int, int]] = set()
        self.num_mixed = 0
        self.varlen = Varlen(self.attend, (torch.float32,), page_tokens)

    def attend(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        cu_seq_q: Tensor,
        cu_seq_k: Tensor,
        max_q: int,
        max_k: int,
        *,
        scale: float | None,
        window_size: tuple[int, int],
        enable_gqa: bool,
        seqused_k: Tensor,
        block_table: Tensor,
        num_splits: int,
    ) -> Tensor:
        for tensor in (cu_seq_q, cu_seq_k, seqused_k, block_table):
            assert tensor.dtype == torch.int32
            assert tensor.is_contiguous()
        assert key.shape == value.shape
        assert query.stride(-1) == 1
        num_rows = len(cu_seq_q) - 1
        assert len(cu_seq_k) - 1 == len(seqused_k) == len(block_table) == num_rows
        assert torch.equal(cu_seq_k.diff(), seqused_k)
        assert cu_seq_q[0] == cu_seq_k[0] == 0
        assert cu_seq_q[-1] == len(query)
        assert int(cu_seq_q.diff().max()) <= max_q
        assert int(seqused_k.max()) <= max_k
        assert int(seqused_k.max()) <= block_table.shape[1] * key.shape[1]
        assert enable_gqa == (query.shape[1] != key.shape[2])
        assert num_splits == 1
        self.num_calls += 1
        self.windows.add(window_size)
        self.num_mixed += len(set(cu_seq_q.diff().tolist())) > 1
        rows = []
        for row in range(num_rows):
            blocks, num_keys = block_table[row].long(), int(seqused_k[row])
            keys, values = (pool[blocks].flatten(0, 1)[:num_keys] for pool in (key, value))
            rows.append(_weigh(query[cu_seq_q[row] : cu_seq_q[row + 1]], keys, values, scale, window_size))
        return torch.cat(rows)


def _weigh(query: Tensor, key: Tensor, value: Tensor, scale: float | None, window: tuple[int, int]) -> Tensor:
    """Query `[N, H, D]`, key and value `[L, Hkv, D]`; the last query stands at the last key."""
    num_shared = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(num_shared, 1), value.repeat_interleave(num_shared, 1)
    scores = torch.einsum("nhd,lhd->hnl", query, key) * (query.shape[2] ** -0.5 if scale is None else scale)
    left, right = window
    places = torch.arange(len(query)).unsqueeze(1) + len(key) - len(query)
    keys = torch.arange(len(key))
    is_hidden = torch.zeros(len(query), len(key), dtype=torch.bool)
    if left >= 0:
        is_hidden |= keys < places - left
    if right >= 0:
        is_hidden |= keys > places + right
    weights = scores.masked_fill(is_hidden, float("-inf")).softmax(-1)
    return torch.einsum("hnl,lhd->nhd", weights, value)
