"""How fast one key's messages are taken, over all its sockets."""

# Messages that may come at once after a pause, in seconds of the rate.
BURST_S = 1.0


class Throttle:
    """Gives out turns, `max_per_s` of them a second; who asks first is first.

    The generic cell rate algorithm (ITU-T I.371). A socket asks for its next turn after its last: one
    that floods holds up the others of its key by one message, not by all of its own.
    """

    def __init__(self, max_per_s: float) -> None:
        self._interval_s = 1 / max_per_s
        # When the turns that have been given out will have been used up.
        self._used_until = 0.0

    def take(self, now: float) -> float:
        """Seconds until this message's turn; 0 when it may be taken at once."""
        self._used_until = max(self._used_until, now) + self._interval_s
        return max(0.0, self._used_until - now - BURST_S)
