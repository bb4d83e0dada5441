"""How the summary model is trained; its card tells it, too."""

from workers.embedded.training.seq2seq_feed import Plan

MAX_TOKENS, MAX_NEW_TOKENS = 512, 160
# Ends the loops that it may fall into on unknown texts; a made-up name said twice has fewer tokens.
NO_REPEAT = 8
PLAN = Plan(
    steps=2600, batch_pairs=24, max_source=MAX_TOKENS, max_target=MAX_NEW_TOKENS, drills=300, sort_side=0
)
