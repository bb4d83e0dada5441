"""What a running task has beside its params."""

from operator import index
from typing import Any

MAX_COUNT = 1 << 53
# Yielded, it sends no item.
NO_ITEM = object()


class Context:
    """One call's own; `state` is what the task's `setup` returned, shared by its calls in this worker."""

    def __init__(self, state: Any = None) -> None:
        self.state = state
        self._progress: tuple[int, int] | None = None

    def progress(self, done: int, total: int) -> object:
        """Report that `done` of `total` is done. It is sent with the next yield; only the last one is.

        Yield what this returns to send the progress without an item. Raises ValueError.
        """
        done, total = index(done), index(total)
        if not 0 <= done <= total <= MAX_COUNT:
            raise ValueError(f"progress({done}, {total}): expected 0 <= done <= total")
        self._progress = (done, total)
        return NO_ITEM

    def take_progress(self) -> tuple[int, int] | None:
        """What was reported since this was last asked."""
        progress, self._progress = self._progress, None
        return progress
