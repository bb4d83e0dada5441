"""What a step has drawn, on its way to the host, and how long the device took for the step."""

import time
from abc import ABC, abstractmethod

import torch
from torch import Tensor


class Readout(ABC):
    """Made when the step is begun."""

    @abstractmethod
    def send(self, ids: Tensor) -> None:
        """All of the step was given to the device, which will have drawn `ids`. Nobody waits for them."""

    @abstractmethod
    def read(self) -> list[int]:
        """Wait for the ids."""

    @property
    @abstractmethod
    def step_s(self) -> float:
        """Seconds from the step's first operation to its last; once it was read."""


class HostReadout(Readout):
    """Where the device is the host, or has no other way: what was sent is there."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._step_s = 0.0
        self._ids: list[int] = []

    def send(self, ids: Tensor) -> None:
        self._ids = ids.tolist()
        self._step_s = time.monotonic() - self._began

    def read(self) -> list[int]:
        return self._ids

    @property
    def step_s(self) -> float:
        return self._step_s


class CudaReadout(Readout):
    """By one copy to page-locked memory; who reads waits for that copy, not for what was given after it.

    Steps overlap with the host's work and with each other's, so the device's own clock is asked.
    """

    def __init__(self, device: torch.device) -> None:
        self._stream = torch.cuda.current_stream(device)
        self._began = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        self._ended = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        self._began.record(self._stream)

    def send(self, ids: Tensor) -> None:
        self._ids = torch.empty(ids.shape, dtype=ids.dtype, pin_memory=True)
        self._ids.copy_(ids, non_blocking=True)
        self._ended.record(self._stream)

    def read(self) -> list[int]:
        self._ended.synchronize()
        ids: list[int] = self._ids.tolist()
        return ids

    @property
    def step_s(self) -> float:
        return float(self._began.elapsed_time(self._ended)) / 1000


def begin_readout(device: torch.device) -> Readout:
    return CudaReadout(device) if device.type == "cuda" else HostReadout()
