"""Which sequences take part in the next step, and with how many tokens."""

from bisect import insort

from workers.llm.answers.sequence import Sequence
from workers.llm.scheduling.blocks import BlockAllocator
from workers.llm.scheduling.chunks import Bounds, Budget, Chunk
from workers.llm.scheduling.pace import MAX_SHORT_TOKENS, Pace
from workers.llm.scheduling.prefixes import Prefixes
from workers.llm.scheduling.shares import Shares
from workers.llm.scheduling.speculation import Speculation
from workers.llm.scheduling.tables import BlockTables


def _rank(sequence: Sequence) -> tuple[int, int]:
    return sequence.job.priority, sequence.age


class Scheduler:
    """Holds each sequence in one of three queues, running, waiting and paused, all in order of rank: the
    lowest priority first, then the oldest.

    A step takes every running decode first, so that a long prompt never stalls the others' tokens, and
    gives what is left of the token budget to prefills. Who waits is admitted in the order of rank, but
    the owner that was served least comes first, whatever the others' priorities: nobody can be starved.
    A sequence gets the blocks of all its tokens when it is admitted, so that only decodes ever grow. The
    full blocks that its text begins with are shared with whoever has computed them; while another is
    just computing them it waits. When no block is free, the last in rank is preempted: its blocks are
    freed, and its tokens are computed again later. Paused and waiting sequences keep their blocks until
    somebody needs them.
    """

    def __init__(self, allocator: BlockAllocator, bounds: Bounds) -> None:
        self._tables = BlockTables(allocator, bounds.block_tokens)
        self._max_batched_tokens = bounds.max_batched_tokens
        self._max_read_tokens = bounds.max_read_tokens
        # Every running decode takes part in every step.
        self._max_num_seqs = min(bounds.max_num_seqs, bounds.max_batched_tokens)
        self._pace = Pace(bounds.max_batched_tokens, bounds.max_slowdown)
        self.speculation = Speculation(bounds.num_draft_tokens, bounds.max_slowdown)
        self.prefixes = Prefixes(allocator, bounds.block_tokens, is_on=bounds.has_prefix_cache)
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
        self.prefixes.enter(sequence)
        insort(self.paused if sequence.job.is_paused else self.waiting, sequence, key=_rank)

    def remove(self, sequence: Sequence) -> None:
        """Its blocks are free at once, or when the steps under way that write to them have landed."""
        self._queue_of(sequence).remove(sequence)
        sequence.has_left = True
        if not sequence.num_flights:
            self._tables.release(sequence)
        self._shares.leave(sequence.job.owner)

    def requeue(self, sequence: Sequence) -> None:
        """Its job was paused or resumed."""
        self._move(sequence, self.paused if sequence.job.is_paused else self.waiting)

    def has_work(self) -> bool:
        return bool(self.running or self.waiting)

    def schedule(self) -> list[Chunk]:
        """The next step's chunks; empty only when nothing waits and nothing runs."""
        chunks = self._decodes()
        num_decodes = len(chunks)
        budget = Budget(
            self._max_batched_tokens - len(chunks),
            self._pace.max_long_tokens(len(chunks)),
            self._max_read_tokens,
        )
        prefills = [sequence for sequence in self.running if sequence.num_pending_tokens > 1]
        self.prefixes.begin_step(prefills)
        for sequence in prefills:
            budget = self._take(sequence, budget, chunks)
        while budget.num_tokens and (admitted := self._admit()):
            budget = self._take(admitted, budget, chunks)
        for chunk in chunks:
            chunk.sequence.num_flights += 1
            self._shares.charge(chunk.sequence, chunk.num_tokens)
        return self._with_drafts(chunks) if len(chunks) == num_decodes else chunks

    def note_computed(self, chunks: list[Chunk]) -> None:
        """Later steps come after this one, and its tokens are known: blocks that it fills can be shared from
        now on. Of drafts nothing is known, and who has left leaves nothing."""
        for chunk in chunks:
            if not chunk.sequence.has_left:
                self.prefixes.note_computed(chunk.sequence, chunk.num_tokens)

    def land(self, sequence: Sequence) -> None:
        """A step that it had a part in is done."""
        sequence.num_flights -= 1
        if sequence.has_left and not sequence.num_flights:
            self._tables.release(sequence)

    def note_accepted(self, chunk: Chunk, num_accepted: int) -> None:
        """So many of the chunk's drafts were right, and are tokens of its sequence now."""
        sequence = chunk.sequence
        self.speculation.note(sequence, len(chunk.drafts), num_accepted)
        self._shares.charge(sequence, num_accepted)
        self.prefixes.note_computed(sequence, num_accepted)
        self._tables.trim(sequence)

    def note_time(self, chunks: list[Chunk], step_s: float) -> None:
        """What the step has taken."""
        sizes = [chunk.num_tokens for chunk in chunks]
        num_decodes = sizes.count(1)
        num_prompt_tokens = sum(sizes) - num_decodes
        num_drafts = sum(len(chunk.drafts) for chunk in chunks)
        if not num_drafts:
            self._pace.note(num_decodes, num_prompt_tokens, step_s)
        if not num_prompt_tokens:
            self.speculation.note_time(num_decodes, num_drafts, step_s)

    def restart(self, chunk: Chunk) -> None:
        """The drafts spoilt what the sequence's blocks hold: it is computed again."""
        self.speculation.note(chunk.sequence, len(chunk.drafts), 0)
        self._preempt(chunk.sequence)

    def spoil(self, sequence: Sequence) -> list[int]:
        """What the sequence's blocks hold is no good: those that it alone has, for the caller to erase."""
        return self._tables.spoil(sequence)

    def can_grow(self) -> bool:
        """Whether nobody has to give way for the tokens of those that decode."""
        return self._tables.can_fill(self._decoding())

    def _decoding(self) -> list[Sequence]:
        return [sequence for sequence in self.running if sequence.num_pending_tokens == 1]

    def _decodes(self) -> list[Chunk]:
        """In order of rank: who needs a block takes it from the last, which is not yet in the step."""
        return [Chunk(sequence, 1) for sequence in self._decoding() if self._grow(sequence)]

    def _with_drafts(self, decodes: list[Chunk]) -> list[Chunk]:
        """As far as blocks are free: for a guess nobody gives way."""
        if not self.speculation.max_tokens:
            return decodes
        sequences = [chunk.sequence for chunk in decodes]
        drafts = self.speculation.propose(sequences, self._max_batched_tokens - len(decodes))
        return [
            chunk._replace(drafts=tuple(draft[: self._tables.make_room(chunk.sequence, len(draft))]))
            for chunk, draft in zip(decodes, drafts, strict=True)
        ]

    def _take(self, sequence: Sequence, budget: Budget, chunks: list[Chunk]) -> Budget:
        """Put as much of the sequence into the step as the budget has room for; return what is left of it."""
        num_tokens = min(sequence.num_pending_tokens, budget.num_tokens)
        if is_long := sequence.num_pending_tokens > MAX_SHORT_TOKENS:
            num_tokens = min(num_tokens, budget.num_long_tokens)
        if sequence.is_reading:
            num_tokens = min(num_tokens, budget.num_read_tokens)
        if num_tokens:
            chunks.append(Chunk(sequence, num_tokens))
        return budget.less(num_tokens, is_long=is_long, is_read=sequence.is_reading)

    def _admit(self) -> Sequence | None:
        """Move the next waiting sequence to the running ones, if there is a place and memory for it."""
        if len(self.running) >= self._max_num_seqs:
            return None
        waiting = [sequence for sequence in self.waiting if not self.prefixes.has_twin(sequence)]
        if not waiting:
            return None
        sequence = self._shares.first(waiting)
        self.prefixes.share(sequence)
        num_missing = self._tables.num_missing(sequence)
        # A block for each running sequence stays free: else the newcomer is preempted by the next step.
        if num_missing and not self._reclaim(sequence, num_missing + len(self.running)):
            return None
        self._tables.fill(sequence)
        self._move(sequence, self.running)
        self.prefixes.compute(sequence)
        return sequence

    def _reclaim(self, sequence: Sequence, num_blocks: int) -> bool:
        """Have so many blocks free, from sequences that do not run; touch none where it would not do."""
        holders = self._idle_holders(sequence)
        num_idle = sum(len(holder.block_table) for holder in holders)
        if self._tables.num_free + num_idle < num_blocks:
            return False
        while self._tables.num_free < num_blocks and holders:
            self._preempt(holders.pop())
        # Blocks that several hold are free only when all of them have gone.
        return self._tables.num_free >= num_blocks

    def _grow(self, sequence: Sequence) -> bool:
        """Give a decode its next block where it needs one; False if it was or had to be preempted."""
        if sequence.block_table and self._tables.num_missing(sequence):
            # More than one may have to give way: what others hold too is not free yet.
            while sequence.block_table and not self._tables.num_free:
                self._preempt((self._idle_holders(sequence) or self.running)[-1])
            if sequence.block_table:
                self._tables.fill(sequence)
        return bool(sequence.block_table)

    def _idle_holders(self, but: Sequence) -> list[Sequence]:
        """Sequences with blocks that neither run nor are in a step; the one to preempt first is last."""
        queues = (self.waiting, self.paused)
        holders = [s for queue in queues for s in queue if s.block_table and not s.num_flights]
        return [holder for holder in holders if holder is not but]

    def _preempt(self, sequence: Sequence) -> None:
        self._tables.release(sequence)
        self.num_preemptions += 1
        if not sequence.job.is_paused:
            self._move(sequence, self.waiting)

    def _move(self, sequence: Sequence, queue: list[Sequence]) -> None:
        self._queue_of(sequence).remove(sequence)
        insort(queue, sequence, key=_rank)

    def _queue_of(self, sequence: Sequence) -> list[Sequence]:
        return next(queue for queue in (self.running, self.waiting, self.paused) if sequence in queue)
