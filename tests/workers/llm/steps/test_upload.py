"""A step's arrays arrive as they were, whatever their shapes and dtypes."""

import numpy as np
import torch

from workers.llm.steps.upload import ALIGNMENT, Array, lay_places, pack, unpack, upload

CPU = torch.device("cpu")
ARRAYS: list[Array] = [
    np.arange(5),
    np.arange(3, dtype=np.int32),
    np.arange(12, dtype=np.int32).reshape(3, 4)[:, 1:],
    np.arange(0),
    np.array([-1, 1 << 40]),
]


def test_packed_and_unpacked() -> None:
    places = lay_places(ARRAYS)
    tensors = unpack(pack(ARRAYS, places, CPU), places)
    assert all(place.start % ALIGNMENT == 0 for place in places)
    for tensor, array in zip(tensors, ARRAYS, strict=True):
        assert tensor.numpy().dtype == array.dtype
        assert np.array_equal(tensor.numpy(), array)
        assert tensor.is_contiguous()


def test_nothing_is_copied_on_a_cpu() -> None:
    (tensor,) = upload(ARRAYS[:1], CPU)
    assert tensor.data_ptr() == ARRAYS[0].ctypes.data
