"""What each websocket route says and understands."""
