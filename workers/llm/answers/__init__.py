"""What an answer is while it grows: its tokens, text, likelihoods, and the events that tell of it."""
