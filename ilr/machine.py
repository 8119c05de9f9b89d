"""What this machine is, and how much of its memory was used."""

import platform
import resource
import sys
from pathlib import Path

import torch


def processor(device: str) -> str:
    """The name of the processor behind a torch device: the CPU's model or the GPU's."""
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def peak_memory(workers: int) -> int:
    """Bytes that this process and its workers have held, at most: its own peak, and for each the largest one's."""
    unit = 1 if sys.platform == "darwin" else 1024
    own, children = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return unit * (own + workers * children)
