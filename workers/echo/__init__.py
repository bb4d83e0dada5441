"""An engine without weights: it gives the prompt back, word by word."""
