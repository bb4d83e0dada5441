"""Stop strings: found wherever they span tokens, never shown, and neither is the start of one."""


class StopFinder:
    """Passes text on, except a tail that may turn out to begin a stop string."""

    def __init__(self, stops: list[str]) -> None:
        self._stops = [stop for stop in stops if stop]
        self._max_held = max((len(stop) for stop in self._stops), default=1) - 1
        self._held = ""
        self.has_stopped = False

    def push(self, text: str) -> str:
        """The text that may be shown now. Once `has_stopped`, it is the last."""
        if not self._stops:
            return text
        self._held += text
        if self._find():
            return self.flush()
        num_held = self._num_held()
        shown = self._held[: len(self._held) - num_held]
        self._held = self._held[len(shown) :]
        return shown

    def flush(self) -> str:
        """All that is held back: no stop string came of it."""
        shown, self._held = self._held, ""
        return shown

    def _find(self) -> bool:
        starts = [at for stop in self._stops if (at := self._held.find(stop)) >= 0]
        if starts:
            self._held = self._held[: min(starts)]
            self.has_stopped = True
        return self.has_stopped

    def _num_held(self) -> int:
        for size in range(min(self._max_held, len(self._held)), 0, -1):
            tail = self._held[-size:]
            if any(stop.startswith(tail) for stop in self._stops):
                return size
        return 0
