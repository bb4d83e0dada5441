"""Tells systemd that the service is ready, alive, or leaving (sd_notify(3), Type=notify).

Ten lines of a socket, because the protocol is one datagram and its Python packages need a C library.
"""

import asyncio
import os
import socket
from collections.abc import Mapping
from contextlib import suppress

MICROSECONDS = 1_000_000


class Notifier:
    """Sends to `$NOTIFY_SOCKET`; does nothing where there is none."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        path = environ.get("NOTIFY_SOCKET", "")
        # A leading @ stands for the abstract namespace.
        self._address = "\0" + path[1:] if path.startswith("@") else path
        self._watchdog_s = int(environ.get("WATCHDOG_USEC") or 0) / MICROSECONDS

    def send(self, **states: str) -> None:
        if self._address:
            text = "\n".join(f"{name}={value}" for name, value in states.items())
            # Whoever should hear it may be gone or busy; neither may end or stall the streams.
            with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.setblocking(False)
                sender.connect(self._address)
                sender.sendall(text.encode())

    async def keep_watchdog(self) -> None:
        """Say at half the watchdog's interval that the event loop turns."""
        while self._watchdog_s:
            self.send(WATCHDOG="1")
            await asyncio.sleep(self._watchdog_s / 2)
