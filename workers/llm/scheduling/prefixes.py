"""What prompts have in common: computed by the first, shared by all who come while it is kept."""

from collections.abc import Iterable

from workers.llm.answers.sequence import Sequence
from workers.llm.scheduling.blocks import EMPTY, BlockAllocator, extend_digests


class Prefixes:
    """Full blocks are known by their digests. Without `is_on` nothing is shared."""

    def __init__(self, allocator: BlockAllocator, block_tokens: int, *, is_on: bool) -> None:
        self._allocator = allocator
        self._block_tokens = block_tokens
        self._is_on = is_on
        self.num_shared_tokens = 0
        # Of the blocks that prompts in this step are on the way to.
        self._coming: set[bytes] = set()

    def enter(self, sequence: Sequence) -> None:
        """A new sequence: what it begins with may be known."""
        if self._is_on:
            self._extend(sequence)

    def begin_step(self, prefills: Iterable[Sequence]) -> None:
        """These are being computed; for what they are on the way to others wait."""
        self._coming = set()
        for sequence in prefills:
            self.compute(sequence)

    def compute(self, sequence: Sequence) -> None:
        """One more is being computed in this step."""
        self._coming.update(sequence.digests[sequence.num_cached_tokens // self._block_tokens :])

    def share(self, sequence: Sequence) -> None:
        """Have it begin after what somebody has computed."""
        if sequence.block_table or not self._is_on:
            return
        sequence.block_table = self._allocator.share(self._shareable(sequence))
        sequence.num_cached_tokens = len(sequence.block_table) * self._block_tokens
        if not sequence.num_charged_tokens:
            self._count(sequence)

    def has_twin(self, sequence: Sequence) -> bool:
        """Whether another is just computing the next block that this one would have to."""
        if not self._coming or sequence.block_table:
            return False
        return self._allocator.first_missing(self._shareable(sequence)) in self._coming

    def note_computed(self, sequence: Sequence, num_tokens: int) -> None:
        """So many tokens more have keys and values; blocks that they filled can be shared from now on."""
        num_full = sequence.num_cached_tokens // self._block_tokens
        sequence.num_cached_tokens += num_tokens
        if self._is_on and sequence.num_cached_tokens // self._block_tokens > num_full:
            self._extend(sequence)
            for place in range(num_full, sequence.num_cached_tokens // self._block_tokens):
                self._allocator.keep(sequence.block_table[place], sequence.digests[place])

    def _extend(self, sequence: Sequence) -> None:
        """Under an adapter the same tokens have other keys and values."""
        adapter = sequence.job.adapter
        salt = adapter.to_bytes(4, "little") if adapter else EMPTY
        extend_digests(sequence.digests, sequence.token_ids, self._block_tokens, salt)

    def _shareable(self, sequence: Sequence) -> list[bytes]:
        """Only what stands before the first token of which it is asked what follows."""
        return sequence.digests[: sequence.first_asked // self._block_tokens]

    def _count(self, sequence: Sequence) -> None:
        """Once: a sequence may lose what it shares before it runs, and find it again."""
        num_more = sequence.num_cached_tokens - sequence.num_found_tokens
        sequence.num_found_tokens = sequence.num_cached_tokens
        sequence.job.cached_tokens += num_more
        self.num_shared_tokens += num_more
