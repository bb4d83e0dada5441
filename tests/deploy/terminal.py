"""What a script shows on a terminal."""

import os
from contextlib import suppress


def read_terminal(here: int) -> str:
    """All that is written to the other end until everybody has closed it; this end is closed too."""
    told = b""
    # Linux ends the reading of a terminal that nobody writes to with an error.
    with suppress(OSError):
        while chunk := os.read(here, 1 << 16):
            told += chunk
    os.close(here)
    return told.decode()
