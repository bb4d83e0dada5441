"""The compiled kernels as Python calls them: structures by pointer, tensors by address."""

import ctypes
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from workers.llm.kernels.build import BuildError, library_path

Address = ctypes.c_void_p
SUFFIXES = {torch.float32: "float", torch.bfloat16: "bfloat16"}


class LayerStruct(ctypes.Structure):
    """`Layer` of kernels.c."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("num_heads", "num_kv_heads", "key_size", "value_size")),
        *((name, ctypes.c_int64) for name in ("block_tokens", "window", "rope_size")),
        *((name, ctypes.c_int64) for name in ("query_token", "query_head", "key_token", "key_head")),
        *((name, ctypes.c_int64) for name in ("value_token", "value_head")),
        *((name, ctypes.c_float) for name in ("scaling", "softcap", "norm_eps")),
        *((name, Address) for name in ("keys", "values", "sinks", "query_norm", "key_norm")),
    ]


class StepStruct(ctypes.Structure):
    """`Step` of kernels.c."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("num_chunks", "table_width")),
        *((name, Address) for name in ("starts", "ends", "offsets", "tables", "slots")),
    ]


class Packing(NamedTuple):
    """How weights lie for products, and the functions that know it."""

    dtype: torch.dtype
    pack: Any
    product: Any


class Kernels:
    """The functions for one dtype. What they promise stands above each in the C text."""

    def __init__(self, library: ctypes.CDLL, dtype: torch.dtype) -> None:
        suffix = SUFFIXES[dtype]
        self.dtype = dtype
        self.attend = _function(library, f"attend_{suffix}", [Address] * 8, ctypes.c_int)
        numbers = [ctypes.c_int64] * 2
        self.rms_norm = _function(library, f"rms_norm_{suffix}", [Address] * 3 + numbers + [ctypes.c_float])
        self.gate = _function(library, f"gate_{suffix}", [Address] * 2 + numbers + [ctypes.c_int64])
        self.has_products = bool(library[f"has_products_{suffix}"]())
        self._whole = _packing(library, dtype, dtype)
        self._half = _packing(library, dtype, torch.bfloat16)
        self._fits = _function(library, "fits_bfloat16", [Address, ctypes.c_int64], ctypes.c_int)

    def packing_for(self, weight: Tensor) -> Packing:
        """As bfloat16 what is that in float32 too, as its model was saved: half to read, the same product.

        `weight` is contiguous.
        """
        is_half = self.dtype == torch.float32 and self._fits(weight.data_ptr(), weight.numel())
        return self._half if is_half else self._whole


def _packing(library: ctypes.CDLL, dtype: torch.dtype, packed: torch.dtype) -> Packing:
    suffix = f"{SUFFIXES[dtype]}_{SUFFIXES[packed]}"
    sizes = [ctypes.c_int64] * 3
    pack = _function(library, f"pack_{suffix}", [Address] * 2 + sizes[:2])
    return Packing(packed, pack, _function(library, f"product_{suffix}", [Address] * 5 + sizes))


def _function(library: ctypes.CDLL, name: str, arguments: list[Any], result: Any = None) -> Any:
    function = library[name]
    function.argtypes, function.restype = arguments, result
    return function


@cache
def _library() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(str(library_path()))
    except OSError as error:
        raise BuildError(str(error)) from error
    library.set_threads(torch.get_num_threads())
    return library


@cache
def kernels_for(dtype: torch.dtype) -> Kernels | None:
    """None for a dtype that they do not know. Raises BuildError where they cannot be compiled."""
    return Kernels(_library(), dtype) if dtype in SUFFIXES else None
