"""The language engine: continuous batching over transformers' own causal language models."""
