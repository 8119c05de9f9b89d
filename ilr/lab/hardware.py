"""What this machine is, and how much of its memory was used."""

import ctypes
import platform
import subprocess
import sys
from functools import cache
from pathlib import Path

import torch

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""The numbers by which glibc's mallopt(3) knows them."""
_LARGE, _KEPT = 2**25, 2**28
"""Bytes: of a tensor that does not go into the heap, and of what is kept free at the heap's end. glibc caps the former
at this value."""


UNKNOWN_GPU = 16 * 2**30
"""Bytes that a GPU is taken to have where it is not here to be asked, such as a cluster's: few have less."""


def processor(device: str) -> str:
    """The name of the processor behind a torch device: the CPU's model or the GPU's, empty where that is elsewhere."""
    if is_gpu(device):
        return torch.cuda.get_device_name(device) if gpus(device) else ""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def default_device() -> str:
    """The GPU where there is one, else the CPU."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def is_gpu(device: str) -> bool:
    """Whether a torch device is a GPU, of this machine or of a cluster."""
    return torch.device(device).type == "cuda"


def gpus(device: str) -> int:
    """How many GPUs a torch device stands for: "cuda" for all there are, "cuda:1" for one, "cpu" for none."""
    chosen = torch.device(device)
    if chosen.type != "cuda":
        return 0
    return torch.cuda.device_count() if chosen.index is None else 1


def gpu_memory(device: str) -> int:
    """Bytes of the memory of the GPU that a torch device stands for: of the smallest, where it is several."""
    index = torch.device(device).index
    chosen = range(torch.cuda.device_count()) if index is None else (index,)
    # All of it, not what is free at this moment: batches should not depend on when they are planned.
    return min((torch.cuda.get_device_properties(one).total_memory for one in chosen), default=UNKNOWN_GPU)


@cache
def gpu_software(device: str) -> str:
    """Driver, CUDA and cuDNN behind a GPU, as they are asked for in bug reports; empty for a CPU."""
    if not is_gpu(device):
        return ""
    command = ("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        answer = ""
    driver = answer.strip().partition("\n")[0]
    cudnn = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
    parts = {"driver": driver, "CUDA": torch.version.cuda, "cuDNN": cudnn}
    return ", ".join(f"{name} {version}" for name, version in parts.items() if version)


def peak_gpu_memory(device: str) -> int:
    """Most bytes of a GPU's memory that this process has held so far; 0 for a CPU."""
    return torch.cuda.max_memory_reserved(device) if is_gpu(device) else 0


def take_gpu(device: str, worker: int) -> None:
    """Makes this process, one of several workers, use a GPU of its own where `device` stands for all, or the one it
    stands for.
    """
    if count := gpus(device):
        index = torch.device(device).index
        torch.cuda.set_device(worker % count if index is None else index)


def answers(device: str) -> bool:
    """Whether this process can still compute on a device: after some errors a GPU refuses it all, until it ends."""
    if torch.device(device).type == "cuda":
        try:
            torch.ones(1, device=device).sum().item()
        except torch.OutOfMemoryError:
            return True
        except RuntimeError:
            return False
    return True


def keep_freed_memory() -> None:
    """Makes the C library keep what one step frees for the next, but for very large tensors.

    Memory that is handed back to the system comes back page by page: by glibc's own rules that takes a sixth of the
    time of a step whose tensors have some megabytes. Tensors beyond _LARGE, which only full batches have, are handed
    back at once: in the heap they would leave holes that nothing else fits into. Without glibc nothing is done.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_MMAP_THRESHOLD, _LARGE)
        libc.mallopt(_TRIM_THRESHOLD, _KEPT)


def peak_memory() -> int:
    """Most bytes that this process has held so far, libraries included; 0 where the system does not say (Windows)."""
    try:
        import resource
    except ImportError:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
