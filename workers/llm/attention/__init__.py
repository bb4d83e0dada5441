"""Attention over the paged cache, in the place of the model's own."""
