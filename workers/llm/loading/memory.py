"""How much memory the cache may take."""

from pathlib import Path

import torch

CPU_SHARE = 0.1
GPU_SHARE = 0.8

MEMINFO = Path("/proc/meminfo")
CGROUP = Path("/sys/fs/cgroup")


def cache_bytes(device: torch.device) -> int:
    """A tenth of what is free on a CPU, where others live too; most of what is free on a GPU."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0] * GPU_SHARE)
    return int(_free_bytes() * CPU_SHARE)


def _free_bytes() -> int:
    """The least that the machine and this process's control group have left."""
    free = []
    if MEMINFO.exists():
        fields = dict(line.split(":", 1) for line in MEMINFO.read_text().splitlines())
        free.append(int(fields["MemAvailable"].split()[0]) * 1024)
    limit, used = CGROUP / "memory.max", CGROUP / "memory.current"
    if limit.exists() and (text := limit.read_text().strip()) != "max":
        free.append(max(0, int(text) - int(used.read_text())))
    return min(free, default=1 << 32)
