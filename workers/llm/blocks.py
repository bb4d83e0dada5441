"""Which cache blocks are free."""


class BlockAllocator:
    """Hands out block ids `0 … num_blocks - 1`; the last freed goes out first, while it is still warm."""

    def __init__(self, num_blocks: int) -> None:
        self.num_blocks = num_blocks
        self._free = list(range(num_blocks - 1, -1, -1))

    @property
    def num_free(self) -> int:
        return len(self._free)

    @property
    def usage(self) -> float:
        """The used share, 0 to 1."""
        return 1 - len(self._free) / self.num_blocks

    def allocate(self, num_blocks: int) -> list[int]:
        """The caller has checked `num_free`."""
        assert num_blocks <= len(self._free)
        return [self._free.pop() for _ in range(num_blocks)]

    def free(self, blocks: list[int]) -> None:
        self._free.extend(reversed(blocks))
