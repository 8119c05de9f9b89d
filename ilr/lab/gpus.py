"""How long GPUs take to train, and how much at once: measured on one kind, for others assumed to be in proportion.

The measurements are those of docs/gpu.md, from reports/reference/gpu/h100-2-graphs.json: steps of several replicas at
once as CUDA graphs, the faster layout, cuDNN timing its kernels where training lets it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ilr.experiments.architectures import MLP
from ilr.experiments.experiment import LOW, Experiment, Precision
from ilr.lab.cost import OPERATIONS_PER_SECOND, STARTUP_SECONDS, kept_bytes, makespan, training_bytes
from ilr.lab.hardware import gpu_memory, gpus, processor
from ilr.training.metrics import GPU_BYTES
from ilr.training.trainers import trainer_of

LAYER_SECONDS = 4e-5
"""What a layer's forward and backward pass takes at least as part of a graph, however few replicas there are: a single
MLP of four layers took 128 µs on the H100, and a single CNN of five, at 14×14 pixels, 196."""

LARGEST_BATCH = 1024
"""More replicas than this in one batch bring no more speed: so many MLPs took 2.4 times less each than 128."""

SHARE = 0.4
"""Of its memory, that batches are planned for: every graph of a step keeps what it needs, and most training has two."""

SAME = 0.01
"""Steps whose operations differ by less, relatively, are of the same kind."""


@dataclass(frozen=True)
class Measured:
    """A net whose steps were timed on the H100."""

    name: str
    """As the report calls it."""
    operations: float
    """Of one replica's step."""
    microseconds: Mapping[Precision, float]
    """Of one replica's step."""

    def rate(self, precision: Precision) -> float:
        """Operations a second, where one in float64 counts as two; where it was not measured, as in float32."""
        if precision not in self.microseconds:
            return self.rate("float32")
        counted = 2 * self.operations if precision == "float64" else self.operations
        return 1e6 * counted / self.microseconds[precision]


MEASURED = (
    Measured("PreResNet32", 53.289e9, {"float32": 5090.0, "tf32": 2552.0, "bfloat16": 1499.0, "float64": 13200.0}),
    Measured(
        "CNN 32-32-64-64 on 28×28",
        14.046e9,
        {"float32": 994.4, "tf32": 666.8, "bfloat16": 474.9, "float64": 2301.0},
    ),
    Measured("CNN 8-8-16-16 on 14×14", 56.900e6, {"float32": 35.45, "tf32": 33.0, "bfloat16": 63.95, "float64": 58.3}),
    Measured("MLP 32-32-32 on 8×8", 786.43e3, {"float32": 1.37, "tf32": 1.35}),
)
"""The last is the only one without convolutions."""


def nearest(experiment: Experiment) -> Measured:
    """The net that was measured whose steps are most like an experiment's: of the same sort, and of about its size."""
    rows = [row for row in MEASURED if row.name.startswith("MLP") == isinstance(experiment.net, MLP)]
    return min(rows, key=lambda row: abs(math.log(_operations_of_a_step(experiment) / row.operations)))


def is_measured(experiment: Experiment) -> bool:
    """Whether it was steps like an experiment's that were measured, or only such as come near them."""
    if experiment.data is None:
        return False
    row = nearest(experiment)
    return experiment.precision in row.microseconds and (
        abs(_operations_of_a_step(experiment) / row.operations - 1) < SAME
    )


def _operations_of_a_step(experiment: Experiment) -> float:
    """Of one replica, as if in float32."""
    counted = trainer_of(experiment).step_operations
    return counted / 2 if experiment.precision == "float64" else counted


@dataclass(frozen=True)
class GPU:
    """A kind of GPU."""

    name: str
    peak: float
    """Floating-point operations a second in float32, without tensor cores, that its maker states."""
    memory: int
    """Bytes."""
    low: bool = True
    """Whether it multiplies in tf32 and bfloat16."""

    def rate(self, experiment: Experiment) -> float:
        """Operations a second in steps like an experiment's: those of the H100, in proportion to the peaks."""
        if experiment.data is None:
            return OPERATIONS_PER_SECOND  # the toy loss never leaves the CPU
        precision: Precision = "float32" if experiment.precision in LOW and not self.low else experiment.precision
        return nearest(experiment).rate(precision) * self.peak / H100.peak

    def seconds(self, experiment: Experiment, operations: float) -> float:
        """Time to train some networks at once.

        Args:
            experiment: what they train.
            operations: of all of them, as `ilr.lab.cost.operations` counts.
        """
        least = LAYER_SECONDS * trainer_of(experiment).layers * experiment.steps if experiment.data else 0.0
        return max(operations / self.rate(experiment), least)


H100 = GPU("H100", 67e12, 80 * 10**9)
GPUS = (GPU("V100", 15.7e12, 32 * 10**9, low=False), GPU("A100", 19.5e12, 80 * 10**9), H100)
"""By NVIDIA's data sheets of V100 SXM2, A100 and H100 SXM, the larger of each. Their peaks in float64, and those of the
last two in TF32 and bfloat16, have the same proportions within a tenth. Bandwidths are closer: 0.27, and 0.46 or 0.61,
of the H100's."""


def gpu_called(processor: str) -> GPU:
    """The kind of a GPU, by the name that its driver gives; for one that is not known, the slowest."""
    return next((gpu for gpu in GPUS if gpu.name in processor), GPUS[0])


def seconds_on_gpus(costs: Sequence[tuple[Experiment, float]], device: str, workers: int) -> float:
    """Rough time for jobs, of which each is an experiment and the operations of all its networks."""
    if not costs:
        return 0.0
    here = gpus(device)
    # What GPUs a cluster has is not known here.
    gpu = gpu_called(processor(device) if here else "")
    each = [gpu.seconds(experiment, operations) for experiment, operations in costs]
    # Several workers of one GPU share it; a cluster's have each their own.
    return STARTUP_SECONDS + makespan(each, min(workers, here or workers))


@dataclass(frozen=True)
class GPURoom:
    """That of a worker on a GPU, in replicas."""

    bytes: int
    """Of its share of the memory."""

    def most_at_once(self, experiment: Experiment) -> int:
        """As many as fit into memory, or bring more speed; it may be none."""
        room = self._left(experiment) // max(training_bytes(experiment), 1)
        return max(min(room, LARGEST_BATCH), 0)

    def most_in_common(self, experiment: Experiment) -> int:
        """As many as fit if a few are computed at a time, for which one half is left."""
        room = self._left(experiment) // 2 // max(kept_bytes(experiment), 1)
        return max(min(room, LARGEST_BATCH), 0)

    def _left(self, experiment: Experiment) -> int:
        # Replicas are evaluated as many at a time as have room in so many bytes.
        return int(SHARE * self.bytes) - trainer_of(experiment).data_bytes - GPU_BYTES


def room_on(device: str, workers: int) -> GPURoom:
    """That of each of so many workers on the GPUs that a torch device stands for."""
    sharing = math.ceil(workers / (gpus(device) or workers))
    return GPURoom(gpu_memory(device) // sharing)
