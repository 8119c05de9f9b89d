"""Whether training on a device gives the networks that it should give."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.gpu_parts.setting import Found, Setting
from ilr.data.dataset import Dataset
from ilr.experiments.architectures import CNN, MLP, PreResNet
from ilr.experiments.experiment import LOW, CropFlip, Data, Experiment, Observe, Partners, every
from ilr.experiments.norms import BatchNorm, GroupNorm, WeightNorm
from ilr.experiments.recording import Array
from ilr.experiments.schedules import Constant, StepDecay
from ilr.nn.arithmetic import refused
from ilr.nn.execution import Formulation
from ilr.training import loop
from ilr.training.loop import train
from tests.oracle import train_plain

STEPS = 12

BASE = Experiment(
    net=MLP((7, 6)),
    norm=BatchNorm(),
    data=Data("random"),
    batch_size=8,
    learning_rate=Constant(0.05),
    weight_decay=Constant(0.05),
    steps=STEPS,
    replicas=3,
    seed=3,
    precision="float64",
    observe=(
        Observe("weights", every(4, STEPS)),
        Observe("weight_norm", every(1, STEPS)),
        Observe("batch_loss", range(STEPS)),
        Observe("gradient_second_moment", range(0, STEPS, 2)),
        Observe("step_angle", range(0, STEPS, 3)),
        Observe("test_accuracy", (STEPS,)),
        Observe("test_predictions", (0, STEPS)),
    ),
)
_SLOWLY = {"learning_rate": Constant(0.001)}
VARIANTS: dict[str, dict[str, Any]] = {
    "mlp": {},
    "mlp, trained head, momentum": {"trainable_head": True, "momentum": 0.9, "initial_velocity": 0.1},
    "mlp, drops": {"learning_rate": StepDecay(0.1, 0.1, (6,)), "weight_decay": StepDecay(0.1, 0.5, (3,))},
    "cnn": {"net": CNN((4, 3, 5, 4))},
    "cnn, augmented": {"net": CNN((4, 6)), "augmentation": CropFlip(2)},
    "cnn, full batch": {"net": CNN((4, 6)), "batch_size": None},
    "cnn, group norm": {"net": CNN((4, 6)), "norm": GroupNorm(2), **_SLOWLY},
    "cnn, weight norm": {"net": CNN((4, 6)), "norm": WeightNorm(), **_SLOWLY},
    "preresnet": {"net": PreResNet(2, (4, 6)), **_SLOWLY},
    "preresnet, partners": {"net": PreResNet(1, (4, 6)), "replicas": 4, "partners": Partners(5), **_SLOWLY},
}
FORMULATIONS = (Formulation(1), Formulation(2, "unfolded"), Formulation(3, "channels-first"))

LIMIT = 1e-9
"""Largest relative difference in float64."""


def random_dataset() -> Dataset:
    """Small images of two channels."""
    stream = np.random.default_rng(11)
    return Dataset(
        train_images=stream.standard_normal((40, 2, 8, 8)).astype(np.float32),
        train_labels=stream.integers(0, 5, 40),
        test_images=stream.standard_normal((30, 2, 8, 8)).astype(np.float32),
        test_labels=stream.integers(0, 5, 30),
        classes=5,
        black=np.array([-1.5, 0.5], np.float32),
    )


def deviation(found: Mapping[str, Array], expected: Mapping[str, Array]) -> float:
    """Largest difference of a quantity, by the quantity's largest value."""
    pairs = [(found[name].astype(float), expected[name].astype(float)) for name in expected]
    return max(float(np.abs(one - other).max() / max(np.abs(other).max(), 1e-300)) for one, other in pairs)


def eagerly(experiment: Experiment, dataset: Dataset, device: str) -> Mapping[str, Array]:
    """Trained without graphs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "capturable", lambda _: False)
        return train([experiment], dataset, device)[0]


def exactness(setting: Setting, _: Mapping[str, Found]) -> Found:
    """Largest relative differences in float64, by what is compared and by variant; `wrong` lists those too large."""
    dataset, device = random_dataset(), str(setting.device)
    found: dict[str, Found] = {}
    for name, change in VARIANTS.items():
        experiment = replace(BASE, **change)
        [arrays] = train([experiment], dataset, device)
        differences: Found = {"from the CPU": deviation(arrays, train([experiment], dataset)[0])}
        differences["from steps without graphs"] = deviation(arrays, eagerly(experiment, dataset, device))
        if experiment.partners is None:
            plain = [train_plain(experiment, replica, dataset) for replica in experiment.replica_ids]
            differences["from plain torch"] = deviation(
                {"weights": arrays["weights"][:, -1], "losses": arrays["batch_loss"]},
                {
                    "weights": np.stack([one.weights for one in plain]),
                    "losses": np.stack([one.batch_losses for one in plain]),
                },
            )
            [alone] = train([experiment.slice(2, 1)], dataset, device)
            differences["of a replica from itself in company"] = deviation(
                alone, {quantity: values[2:3] for quantity, values in arrays.items()}
            )
        if not isinstance(experiment.net, MLP):
            for formulation in FORMULATIONS:
                [other] = train([experiment], dataset, device, choose=lambda *_, chosen=formulation: chosen)
                differences[f"of {formulation}"] = deviation(other, arrays)
        found[name] = differences
    wrong = [
        f"{variant}: {what}: {value:.1e}"
        for variant, differences in found.items()
        for what, value in differences.items()
        if not value <= LIMIT
    ]
    single = replace(BASE, net=CNN((4, 6)), precision="float32")
    twice = [train([single], dataset, device)[0] for _ in range(2)]
    flags = _tf32()
    fewer_bits: Found = {}
    for precision in LOW:
        if not refused(precision, setting.device):
            [arrays] = train([replace(single, precision=precision)], dataset, device)
            fewer_bits[precision] = deviation(arrays, twice[0])
            # It should be another arithmetic, but the same networks.
            if not 1e-6 < fewer_bits[precision] < 1:
                wrong.append(f"{precision}: {fewer_bits[precision]:.1e} from float32")
    if _tf32() != flags:
        wrong.append("TF32 is not as it was before training")
    largest = max(value for differences in found.values() for value in differences.values())
    return {
        "wrong": wrong,
        "largest": largest,
        "float64": found,
        "float32, the same training twice": deviation(*twice),
        "from float32": fewer_bits,
        "tf32": flags,
    }


def _tf32() -> list[bool]:
    """Torch's own setting for products and convolutions."""
    return [torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32]
