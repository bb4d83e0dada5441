"""Which cache blocks are free, whose the others are, and what the full ones hold."""

from collections import OrderedDict
from collections.abc import Sequence
from hashlib import blake2b

import numpy as np

DIGEST_BYTES = 16
# Of nothing: what the first block's digest builds on.
EMPTY = b""


class BlockAllocator:
    """Hands out block ids `0 … num_blocks - 1`; the last freed goes out first, while it is still warm.

    A full block that was given a digest can be shared by all that begin with the same tokens. Once
    nobody has it any more it is free like others, but keeps what it holds until no other block is
    free; then the one that was longest unused goes first.
    """

    def __init__(self, num_blocks: int) -> None:
        self.num_blocks = num_blocks
        self._free = list(range(num_blocks - 1, -1, -1))
        self._num_holders = [0] * num_blocks
        self._digests: dict[int, bytes] = {}
        self._found: dict[bytes, int] = {}
        # Free blocks with a digest, the longest unused first.
        self._idle: OrderedDict[int, None] = OrderedDict()

    @property
    def num_free(self) -> int:
        return len(self._free) + len(self._idle)

    @property
    def usage(self) -> float:
        """The used share, 0 to 1."""
        return 1 - self.num_free / self.num_blocks

    def allocate(self, num_blocks: int) -> list[int]:
        """The caller has checked `num_free`."""
        assert num_blocks <= self.num_free
        return [self._take() for _ in range(num_blocks)]

    def share(self, digests: Sequence[bytes]) -> list[int]:
        """The blocks that hold the first of these, up to the first that none holds."""
        blocks = []
        for digest in digests:
            block = self._found.get(digest)
            if block is None:
                break
            self._idle.pop(block, None)
            self._num_holders[block] += 1
            blocks.append(block)
        return blocks

    def first_missing(self, digests: Sequence[bytes]) -> bytes | None:
        """The first of these that no block holds."""
        return next((digest for digest in digests if digest not in self._found), None)

    def keep(self, block: int, digest: bytes) -> None:
        """The block is full and will not change: from now on it is found. A second of the same is not."""
        if digest not in self._found and block not in self._digests:
            self._found[digest] = block
            self._digests[block] = digest

    def free(self, blocks: list[int]) -> None:
        """One holder gives them back. The end of a text is forgotten before its beginning."""
        for block in reversed(blocks):
            self._num_holders[block] -= 1
            if self._num_holders[block]:
                continue
            if block in self._digests:
                self._idle[block] = None
            else:
                self._free.append(block)

    def forget(self, blocks: list[int]) -> list[int]:
        """What only one holder has is found no more; these blocks are returned."""
        own = [block for block in blocks if self._num_holders[block] == 1]
        for block in own:
            self._lose(block)
        return own

    def _take(self) -> int:
        if self._free:
            block = self._free.pop()
        else:
            block, _ = self._idle.popitem(last=False)
            self._lose(block)
        self._num_holders[block] = 1
        return block

    def _lose(self, block: int) -> None:
        if digest := self._digests.pop(block, None):
            del self._found[digest]


def extend_digests(
    digests: list[bytes], token_ids: list[int], block_tokens: int, salt: bytes = EMPTY
) -> None:
    """Add those of the full blocks that `digests` lacks; each stands for all tokens up to its block's end,
    and for what computed them: by another `salt` they have other digests.

    Sixteen bytes of BLAKE2: that two texts have one in common does not happen.
    """
    for start in range(len(digests) * block_tokens, len(token_ids) - block_tokens + 1, block_tokens):
        tokens = np.array(token_ids[start : start + block_tokens], np.int32).tobytes()
        before = digests[-1] if digests else salt
        digests.append(blake2b(before + tokens, digest_size=DIGEST_BYTES).digest())
