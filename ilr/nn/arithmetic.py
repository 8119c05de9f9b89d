"""With how many bits a step multiplies: what becomes of the precisions below float32."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch

from ilr.experiments.experiment import LOW, Precision

LEAST_CAPABILITY = (8, 0)
"""Of the GPUs that multiply in TF32 and bfloat16: A100 and later."""


@contextmanager
def multiplying(precision: Precision, device: torch.device) -> Iterator[None]:
    """Products are made as a precision says within, and as before afterwards.

    A CUDA graph keeps the kernels that were chosen when it was captured: it is within when it is captured, not when it
    is replayed.

    Args:
        precision: of an experiment.
        device: that computes.
    """
    # Torch has newer names for these (`fp32_precision`), but not in all versions that ilr runs with.
    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
    before = products.allow_tf32, convolutions.allow_tf32
    products.allow_tf32 = convolutions.allow_tf32 = precision == "tf32"
    try:
        # Without its cache of converted weights: they change at every step, and a graph would keep the first ones.
        if precision == "bfloat16":
            with torch.autocast(device.type, torch.bfloat16, cache_enabled=False):
                yield
        else:
            yield
    finally:
        products.allow_tf32, convolutions.allow_tf32 = before


def in_a_step(precision: Precision, device: torch.device) -> AbstractContextManager[None]:
    """Around a step's forward and backward pass, within a block of float32: all else is computed in that."""
    return multiplying(precision, device) if precision in LOW else nullcontext()


def refused(precision: Precision, device: torch.device) -> str:
    """Why a device cannot multiply as a precision says; empty where it can."""
    if precision == "tf32" and device.type != "cuda":
        return f"tf32 is how GPUs multiply, and this is trained on {device}"
    if precision in LOW and device.type == "cuda":
        capability = torch.cuda.get_device_capability(device)
        if capability < LEAST_CAPABILITY:
            return f"{precision} needs an A100 or a later GPU, not {torch.cuda.get_device_name(device)}"
    return ""
