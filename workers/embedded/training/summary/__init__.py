"""The embedded summary model: its documents, training and measuring."""

from workers.embedded.training.summary.make import main

__all__ = ["main"]
