"""A step's arrays on the device, all by one copy that nobody waits for."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Array = npt.NDArray[Any]

# Each array begins at a multiple of so many bytes, as the device's own allocations would.
ALIGNMENT = 16

TORCH_DTYPES = {
    np.dtype(np.int64): torch.int64,
    np.dtype(np.int32): torch.int32,
    np.dtype(np.float32): torch.float32,
    np.dtype(np.bool_): torch.bool,
}


class Place(NamedTuple):
    """Where an array lies in the buffer."""

    start: int
    num_bytes: int
    dtype: torch.dtype
    shape: tuple[int, ...]


def upload(arrays: list[Array], device: torch.device) -> list[Tensor]:
    """`arrays` as tensors on `device`; on a CPU these are the arrays' own memory. Dtypes: `TORCH_DTYPES`."""
    if device.type == "cpu":
        return [torch.from_numpy(array) for array in arrays]
    places = lay_places(arrays)
    return unpack(pack(arrays, places, device).to(device, non_blocking=True), places)


def lay_places(arrays: list[Array]) -> list[Place]:
    """One after another, in their order."""
    places, start = [], 0
    for array in arrays:
        places.append(Place(start, array.nbytes, TORCH_DTYPES[array.dtype], array.shape))
        start += -(-array.nbytes // ALIGNMENT) * ALIGNMENT
    return places


def pack(arrays: list[Array], places: list[Place], device: torch.device) -> Tensor:
    """One buffer of bytes in the machine's memory, page-locked where it will go to a GPU.

    torch lends page-locked memory again only after the copies from it are done, so each step takes new.
    """
    num_bytes = places[-1].start + -(-places[-1].num_bytes // ALIGNMENT) * ALIGNMENT
    buffer = torch.empty(num_bytes, dtype=torch.uint8, pin_memory=device.type == "cuda")
    filled = buffer.numpy()
    for array, place in zip(arrays, places, strict=True):
        contiguous = np.ascontiguousarray(array).reshape(-1)
        filled[place.start : place.start + place.num_bytes] = contiguous.view(np.uint8)
    return buffer


def unpack(buffer: Tensor, places: list[Place]) -> list[Tensor]:
    """The arrays as views of the buffer."""
    return [
        buffer[place.start : place.start + place.num_bytes].view(place.dtype).view(place.shape)
        for place in places
    ]
