"""Upstream APIs that run a job in place of a worker, through their official SDKs."""
