"""Which sequences take part in the next step, and with how many tokens."""

from bisect import insort
from typing import NamedTuple

from workers.llm.blocks import BlockAllocator
from workers.llm.sequence import Sequence
from workers.llm.shares import Shares


class Chunk(NamedTuple):
    """The next `num_tokens` tokens of a sequence: 1 for a decode, more for a prefill."""

    sequence: Sequence
    num_tokens: int


class Bounds(NamedTuple):
    max_num_seqs: int
    max_batched_tokens: int
    block_tokens: int


def _rank(sequence: Sequence) -> tuple[int, int]:
    return sequence.job.priority, sequence.age


class Scheduler:
    """Holds each sequence in one of three queues, running, waiting and paused, all in order of rank: the
    lowest priority first, then the oldest.

    A step takes every running decode first, so that a long prompt never stalls the others' tokens, and
    gives what is left of the token budget to prefills. Who waits is admitted in the order of rank, but
    the owner that was served least comes first, whatever the others' priorities: nobody can be starved.
    A sequence gets the blocks of all its tokens when it is admitted, so that only decodes ever grow.
    When no block is free, the last in rank is preempted: its blocks are freed, and its tokens are
    computed again later. Paused and waiting sequences keep their blocks until somebody needs them.
    """

    def __init__(self, allocator: BlockAllocator, bounds: Bounds) -> None:
        self._allocator = allocator
        self._block_tokens = bounds.block_tokens
        self._max_batched_tokens = bounds.max_batched_tokens
        # Every running decode takes part in every step.
        self._max_num_seqs = min(bounds.max_num_seqs, bounds.max_batched_tokens)
        self.running: list[Sequence] = []
        self.waiting: list[Sequence] = []
        self.paused: list[Sequence] = []
        self.num_preemptions = 0
        self._num_added = 0
        self._shares = Shares()

    def add(self, sequence: Sequence) -> None:
        self._num_added += 1
        sequence.age = self._num_added
        self._shares.enter(sequence.job.owner)
        insort(self.paused if sequence.job.is_paused else self.waiting, sequence, key=_rank)

    def remove(self, sequence: Sequence) -> None:
        """Its blocks are free at once."""
        self._queue_of(sequence).remove(sequence)
        self._release(sequence)
        self._shares.leave(sequence.job.owner)

    def requeue(self, sequence: Sequence) -> None:
        """Its job was paused or resumed."""
        self._move(sequence, self.paused if sequence.job.is_paused else self.waiting)

    def has_work(self) -> bool:
        return bool(self.running or self.waiting)

    def schedule(self) -> list[Chunk]:
        """The next step's chunks; empty only when nothing waits and nothing runs."""
        chunks = self._decodes()
        budget = self._max_batched_tokens - len(chunks)
        for sequence in self.running:
            if budget and sequence.num_pending_tokens > 1:
                budget -= self._take(sequence, budget, chunks)
        while budget and (admitted := self._admit()):
            budget -= self._take(admitted, budget, chunks)
        for chunk in chunks:
            self._shares.charge(*chunk)
        return chunks

    def _decodes(self) -> list[Chunk]:
        """In order of rank: who needs a block takes it from the last, which is not yet in the step."""
        decodes = [sequence for sequence in self.running if sequence.num_pending_tokens == 1]
        return [Chunk(sequence, 1) for sequence in decodes if self._grow(sequence)]

    def _take(self, sequence: Sequence, budget: int, chunks: list[Chunk]) -> int:
        num_tokens = min(sequence.num_pending_tokens, budget)
        chunks.append(Chunk(sequence, num_tokens))
        return num_tokens

    def _admit(self) -> Sequence | None:
        """Move the next waiting sequence to the running ones, if there is a place and memory for it."""
        if not self.waiting or len(self.running) >= self._max_num_seqs:
            return None
        sequence = self._shares.first(self.waiting)
        num_missing = self._num_missing(sequence)
        # A block for each running sequence stays free: else the newcomer is preempted by the next step.
        if num_missing and not self._reclaim(sequence, num_missing + len(self.running)):
            return None
        sequence.block_table += self._allocator.allocate(num_missing)
        self._move(sequence, self.running)
        return sequence

    def _num_missing(self, sequence: Sequence) -> int:
        num_needed = -(-len(sequence.token_ids) // self._block_tokens)
        return max(0, num_needed - len(sequence.block_table))

    def _reclaim(self, sequence: Sequence, num_blocks: int) -> bool:
        """Have so many blocks free, from sequences that do not run; touch none where it would not do."""
        holders = self._idle_holders(sequence)
        num_idle = sum(len(holder.block_table) for holder in holders)
        if self._allocator.num_free + num_idle < num_blocks:
            return False
        while self._allocator.num_free < num_blocks:
            self._preempt(holders.pop())
        return True

    def _grow(self, sequence: Sequence) -> bool:
        """Give a decode its next block where it needs one; False if it was or had to be preempted."""
        if sequence.block_table and self._num_missing(sequence):
            if not self._allocator.num_free:
                self._preempt((self._idle_holders(sequence) or self.running)[-1])
            if sequence.block_table:
                sequence.block_table += self._allocator.allocate(1)
        return bool(sequence.block_table)

    def _idle_holders(self, but: Sequence) -> list[Sequence]:
        """Sequences with blocks that do not run; the one to preempt first is last."""
        holders = [s for queue in (self.waiting, self.paused) for s in queue if s.block_table]
        return [holder for holder in holders if holder is not but]

    def _preempt(self, sequence: Sequence) -> None:
        self._release(sequence)
        self.num_preemptions += 1
        if not sequence.job.is_paused:
            self._move(sequence, self.waiting)

    def _release(self, sequence: Sequence) -> None:
        self._allocator.free(sequence.block_table)
        sequence.block_table = []
        sequence.num_cached_tokens = 0

    def _move(self, sequence: Sequence, queue: list[Sequence]) -> None:
        self._queue_of(sequence).remove(sequence)
        insort(queue, sequence, key=_rank)

    def _queue_of(self, sequence: Sequence) -> list[Sequence]:
        return next(queue for queue in (self.running, self.waiting, self.paused) if sequence in queue)
