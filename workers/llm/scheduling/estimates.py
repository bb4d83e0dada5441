"""Running means of what was measured, in which the newest counts the most."""

# Share of a new measurement.
WEIGHT = 0.2


def mixed(old: float, new: float) -> float:
    """The mean with a new measurement in it; `old` is 0 before the first."""
    return old + WEIGHT * (new - old) if old else new
