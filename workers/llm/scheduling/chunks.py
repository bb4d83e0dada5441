"""A step's parts, and what a step has room for."""

from typing import NamedTuple

from workers.llm.answers.sequence import Sequence


class Chunk(NamedTuple):
    """The next `num_tokens` tokens of a sequence: 1 for a decode, more for a prefill. And what may follow."""

    sequence: Sequence
    num_tokens: int
    drafts: tuple[int, ...] = ()

    @property
    def size(self) -> int:
        """The tokens to compute."""
        return self.num_tokens + len(self.drafts)


class Bounds(NamedTuple):
    """`max_slowdown`: how many times longer a long prompt, or drafts, may make a step for the others; 0 for
    no limit. `num_draft_tokens` of a sequence at most; 0 for none. `max_read_tokens` of prompts that are
    read: each takes a row of logits.
    """

    max_num_seqs: int
    max_batched_tokens: int
    block_tokens: int
    max_slowdown: float = 0.0
    has_prefix_cache: bool = True
    num_draft_tokens: int = 0
    max_read_tokens: int = 512


class Budget(NamedTuple):
    """What a step has room for: tokens in all, of long prompts, and of prompts that are read."""

    num_tokens: int
    num_long_tokens: int
    num_read_tokens: int

    def less(self, num_tokens: int, *, is_long: bool, is_read: bool) -> "Budget":
        return Budget(
            self.num_tokens - num_tokens,
            self.num_long_tokens - (num_tokens if is_long else 0),
            self.num_read_tokens - (num_tokens if is_read else 0),
        )
