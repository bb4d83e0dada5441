"""What running out of memory looks like."""

import ctypes
import gc
from contextlib import suppress

import torch

# Only `is_out_of_memory` can tell a RuntimeError's meaning.
OUT_OF_MEMORY = (torch.OutOfMemoryError, MemoryError, RuntimeError)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed: on a GPU, in Python, or in torch's allocator for CPUs."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


def free_memory() -> None:
    """Give back what failed or cancelled steps have left, to the device and to the system."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    # Only glibc has it; a worker lets it keep freed memory between steps (workers/process.py).
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
