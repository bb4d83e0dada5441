"""The text, training, evaluation and card of the shipped sentiment model."""
