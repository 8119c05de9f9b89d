"""What this machine is, and how much of its memory was used."""

import ctypes
import platform
import resource
import sys
from pathlib import Path

import torch

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""The numbers by which glibc's mallopt(3) knows them."""


def processor(device: str) -> str:
    """The name of the processor behind a torch device: the CPU's model or the GPU's."""
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def gpus(device: str) -> int:
    """How many GPUs a torch device stands for: "cuda" for all there are, "cuda:1" for one, "cpu" for none."""
    chosen = torch.device(device)
    if chosen.type != "cuda":
        return 0
    return torch.cuda.device_count() if chosen.index is None else 1


def take_gpu(device: str, worker: int) -> None:
    """Makes this process, one of several workers, use a GPU of its own where `device` stands for all, or the one it
    stands for.
    """
    if count := gpus(device):
        index = torch.device(device).index
        torch.cuda.set_device(worker % count if index is None else index)


def hand_back_freed_memory() -> None:
    """Keeps large tensors out of the C library's heap, where the freed ones leave holes that nothing else fits into.

    It halves what a worker holds after full-batch training and costs no time, as most tensors of a step are smaller.
    Without glibc nothing is done.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_MMAP_THRESHOLD, 2**20)
        libc.mallopt(_TRIM_THRESHOLD, 2**26)


def peak_memory() -> int:
    """Most bytes that this process has held so far, libraries included."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
