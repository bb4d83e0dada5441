"""Plain text that several people edit at once."""
