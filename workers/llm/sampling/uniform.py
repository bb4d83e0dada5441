"""Random numbers that depend on (seed, position) alone."""

import numpy as np
import numpy.typing as npt

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
MASK = (1 << 64) - 1


def uniforms(seeds: list[int], positions: list[int]) -> npt.NDArray[np.float32]:
    """One number in [0, 1) for each pair, with 24 random bits, as many as a float32 holds exactly."""
    keys = np.array([seed & MASK for seed in seeds], np.uint64)
    mixed = _mix(_mix(keys + GOLDEN) + (np.array(positions, np.uint64) + np.uint64(1)) * GOLDEN)
    return (mixed >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24)


def _mix(x: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """splitmix64's finaliser (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
