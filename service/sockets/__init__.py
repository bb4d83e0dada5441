"""Websockets: one connection layer under every route that upgrades."""
