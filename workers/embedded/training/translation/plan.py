"""How the translation model is trained; its card tells it, too."""

from workers.embedded.training.seq2seq_feed import Plan

MAX_TOKENS = 256
# The primer reads word lists before sentences.
PLAN = Plan(steps=6400, primer=416)
