"""The embedded translation model, English to German: its little world, training and measuring."""

from workers.embedded.training.translation.make import main

__all__ = ["main"]
