"""What one route's websockets have come to; for gauges."""

from collections import Counter

from msgspec import Struct, field


class Counts(Struct):
    """Of one route. `dropped` counts by reason those that were closed from this side for a fault."""

    num_open: int = 0
    num_opened: int = 0
    num_received: int = 0
    num_sent: int = 0
    num_throttled: int = 0
    num_superseded: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
