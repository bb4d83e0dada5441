"""Station "params": bytes -> a typed, validated struct. Every field's limit stands in its type."""
