"""Conversations that outlive a request."""
