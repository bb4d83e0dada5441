"""Which blocks of the cache a sequence has, and which it needs for its tokens."""

from collections.abc import Iterable

from workers.llm.answers.sequence import Sequence
from workers.llm.scheduling.blocks import BlockAllocator


class BlockTables:
    """Fills and empties sequences' block tables, as far as blocks are free."""

    def __init__(self, allocator: BlockAllocator, block_tokens: int) -> None:
        self._allocator = allocator
        self._block_tokens = block_tokens

    @property
    def num_free(self) -> int:
        return self._allocator.num_free

    def num_missing(self, sequence: Sequence) -> int:
        """Blocks that its tokens need beyond those that it has."""
        return max(0, self._num_needed(len(sequence.token_ids)) - len(sequence.block_table))

    def can_fill(self, sequences: Iterable[Sequence]) -> bool:
        """Whether all that they miss is free."""
        return sum(map(self.num_missing, sequences)) <= self.num_free

    def fill(self, sequence: Sequence) -> None:
        """Give it what it misses. The caller has checked `num_free`."""
        sequence.block_table += self._allocator.allocate(self.num_missing(sequence))

    def make_room(self, sequence: Sequence, num_drafts: int) -> int:
        """Give it blocks for that many tokens more, or for fewer; return for how many it has them."""
        num_needed = self._num_needed(len(sequence.token_ids) + num_drafts)
        num_new = min(max(0, num_needed - len(sequence.block_table)), self.num_free)
        sequence.block_table += self._allocator.allocate(num_new)
        return min(num_drafts, len(sequence.block_table) * self._block_tokens - len(sequence.token_ids))

    def trim(self, sequence: Sequence) -> None:
        """Take back the blocks that only wrong drafts were in."""
        num_needed = self._num_needed(len(sequence.token_ids))
        self._allocator.free(sequence.block_table[num_needed:])
        del sequence.block_table[num_needed:]

    def release(self, sequence: Sequence) -> None:
        """Take back all: its tokens are to be computed again."""
        self._allocator.free(sequence.block_table)
        sequence.block_table = []
        sequence.num_cached_tokens = 0

    def spoil(self, sequence: Sequence) -> list[int]:
        """What its blocks hold is no good: those that it alone has, for the caller to erase."""
        return self._allocator.forget(sequence.block_table)

    def _num_needed(self, num_tokens: int) -> int:
        return -(-num_tokens // self._block_tokens)
