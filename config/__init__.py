"""What an operator may set: `default.toml`, the types and limits, and how the layers are merged."""
