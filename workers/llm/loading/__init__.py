"""From a folder or hub id to a model with a cache, checked."""
