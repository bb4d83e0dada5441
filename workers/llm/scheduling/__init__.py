"""Who takes part in a step, with how many tokens, and in which blocks of the cache."""
