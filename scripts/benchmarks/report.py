"""A benchmark's printed result: figures, and bars that are met or missed."""

from collections.abc import Sequence


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0 to 1) of the values lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def bar(name: str, value: float, relation: str, limit: float, unit: str = "") -> bool:
    """Print one bar with its figure and say whether it is met."""
    is_met = value >= limit if relation == ">=" else value <= limit
    verdict = "met" if is_met else f"MISSED by {abs(value - limit):.3g}{unit}"
    print(f"  bar  {name}: {value:.3g}{unit} {relation} {limit:g}{unit}  {verdict}")
    return is_met
