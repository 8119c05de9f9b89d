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


def peak_memory() -> int:
    """Most bytes that this process has held so far, libraries included."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
