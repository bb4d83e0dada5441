"""How the embedded models are made: the corpus that the project writes itself, and its training.

Only `scripts/train_embedded` and the tests import this package; serving a model never does.
"""
