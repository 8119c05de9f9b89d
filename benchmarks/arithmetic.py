"""Would the claims come out the same if float32 nets multiplied in TF32 or bfloat16? Emulated, on CPUs.

    python -m benchmarks.arithmetic --seed 900316
    python -m benchmarks.arithmetic --arithmetic tf32 -k "norm_growth or weight_distance"

Trains the tiny suite in float32 and again with products of fewer bits, and prints how far each estimate moved, in
halves of its interval: by less than 1, the other estimate lies in it. TF32 is emulated: before every product, on the
way forth and back, its operands are rounded to 10 explicit bits; sums are in float32, as in a GPU's units. bfloat16 is
torch's own autocast. Identities in float64 stay as they are, and so do evaluations.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

ROOT = Path(__file__).parents[1]
CHOSEN = "ILR_EMULATED_ARITHMETIC"
"""Environment variable by which the plugin below is told what to emulate."""

BITS = 10
"""Explicit bits of TF32's significand; float32 has 23."""

PRODUCTS = frozenset(
    f"aten.{name}"
    for name in ("mm", "bmm", "addmm", "baddbmm", "mv", "dot", "convolution", "convolution_backward", "linear")
)
"""What tensor cores take over."""


def rounded(values: Tensor) -> Tensor:
    """float32 rounded to the nearest number of TF32, ties to even."""
    dropped = 23 - BITS
    bits = values.contiguous().view(torch.int32)
    odd = (bits >> dropped) & 1
    bits = (bits + (2 ** (dropped - 1) - 1) + odd) & -(2**dropped)
    return torch.where(values.isfinite(), bits.view(torch.float32), values)


class ProductsInTF32(TorchDispatchMode):
    """Within it, every product of float32 tensors has rounded operands: gradients' too, as it is below autograd."""

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if str(function).rpartition(".")[0] in PRODUCTS:
            args = [rounded(one) if isinstance(one, Tensor) and one.dtype == torch.float32 else one for one in args]
        return function(*args, **(kwargs or {}))


@contextmanager
def emulated(precision: str, device: torch.device) -> Iterator[None]:
    """Stands in for `ilr.nn.arithmetic.in_a_step`: steps in TF32 on a CPU."""
    from ilr.nn.arithmetic import in_a_step

    with ProductsInTF32() if precision == "tf32" else in_a_step(precision, device):  # type: ignore[arg-type]
        yield


def pytest_configure(config: object) -> None:  # noqa: ARG001 - the hook's
    """As a plugin of pytest: lets a CPU train in what it is told to, where the command line would refuse."""
    if os.environ.get(CHOSEN):
        from ilr.session import selection
        from ilr.training import loop

        # For as long as the process lives; it says so where one of these names is no more.
        patch = pytest.MonkeyPatch()
        patch.setattr(selection, "_check_arithmetic", lambda *_: None)
        patch.setattr(loop, "in_a_step", emulated)
        patch.setattr(loop, "refused", lambda *_: "")


def trained(arithmetic: str, seed: int, chosen: str, folder: Path) -> Mapping[str, Any]:
    """The evidence of the tiny suite."""
    command = [
        sys.executable, "-m", "pytest", "claims", "-q", "-p", "no:cacheprovider", "-p", "benchmarks.arithmetic",
        "--scale=tiny", f"--seed={seed}", "--engine=in-process", f"--arithmetic={arithmetic}",
        f"--store={folder / 'store'}", f"--report={folder / arithmetic}", *(("-k", chosen) if chosen else ()),
    ]  # fmt: skip
    told = {CHOSEN: arithmetic, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    subprocess.run(command, cwd=ROOT, env=os.environ | told, check=False, stdout=sys.stderr)
    evidence: Mapping[str, Any] = json.loads((folder / arithmetic / "evidence.json").read_text())
    return evidence


def shifts(usual: Mapping[str, Any], other: Mapping[str, Any]) -> list[float]:
    """How far each estimate of a claim, with its controls, moved, in halves of its interval in float32."""
    moved = []
    of_usual = [*usual["findings"], *(one for control in usual["controls"] for one in control["findings"])]
    of_other = [*other["findings"], *(one for control in other["controls"] for one in control["findings"])]
    for one, two in zip(of_usual, of_other, strict=True):
        # An interval that is open tells its half by its closed end; one that is open on both sides has none.
        half = max((abs(end - one["estimate"]) for end in one["interval"] if end is not None), default=0.0)
        moved.append(abs(two["estimate"] - one["estimate"]) / half if half else 0.0)
    return moved


def main(arguments: list[str]) -> int:
    """Gives 1 where a verdict differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arithmetic", choices=("tf32", "bfloat16"), default="tf32")
    parser.add_argument("--seed", type=int, default=900_316)
    parser.add_argument("-k", dest="chosen", default="", help="some claims only, as pytest takes it")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        usual, other = (
            {claim["id"]: claim for claim in trained(kind, given.seed, given.chosen, Path(folder))["claims"]}
            for kind in ("float32", given.arithmetic)
        )
    everything: list[float] = []
    different = 0
    print(f"{'claim':42} {'float32':13} {given.arithmetic:13} shift in half-intervals: median, largest")
    for name, claim in usual.items():
        moved = shifts(claim, other[name])
        everything += moved
        different += claim["verdict"] != other[name]["verdict"]
        told = f"{statistics.median(moved):.3f} {max(moved):8.3f}" if moved else "–"
        print(f"{name:42} {claim['verdict']:13} {other[name]['verdict']:13} {told}")
    if everything:
        print(
            f"{'all':42} {different} verdicts differ{'':9} {statistics.median(everything):.3f} {max(everything):8.3f}"
        )
    return int(different > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
