"""What docs/determinism.md promises, on the CPU."""

from dataclasses import replace

import numpy as np
import pytest

from ilr.data.dataset import Dataset
from ilr.experiments.architectures import CNN, MLP, Net, PreResNet
from ilr.experiments.experiment import Data, Experiment, Observe
from ilr.experiments.norms import BatchNorm, LayerNorm, Norm
from ilr.training import metrics
from ilr.training.loop import train
from ilr.training.recorder import Arrays

STEPS = 20
NETS = [MLP((16, 16)), CNN((4, 4, 8)), PreResNet(1, (4, 8))]


def experiment(net: Net, norm: Norm, precision: str) -> Experiment:
    return Experiment(
        net=net, norm=norm, data=Data("digits"), batch_size=16, learning_rate=0.1, weight_decay=0.05, momentum=0.9,
        steps=STEPS, replicas=6, seed=5, precision=precision,
        observe=(Observe("weights", (0, 10, STEPS)), Observe("train_loss", (STEPS,))),
    )  # fmt: skip


def in_chunks(whole: Experiment, size: int, dataset: Dataset) -> Arrays:
    starts = range(0, whole.replicas, size)
    parts = [train([whole.slice(start, min(size, whole.replicas - start))], dataset)[0] for start in starts]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


@pytest.mark.parametrize("norm", [BatchNorm(), LayerNorm()], ids=str)
@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("net", NETS, ids=str)
def test_the_same_batch_gives_the_same_bits(net: Net, precision: str, norm: Norm, random_dataset: Dataset) -> None:
    whole = experiment(net, norm, precision)
    [once], [again] = train([whole], random_dataset), train([whole], random_dataset)
    for name, values in once.items():
        np.testing.assert_array_equal(values, again[name], err_msg=name)


@pytest.mark.parametrize("norm", [BatchNorm(), LayerNorm()], ids=str)
@pytest.mark.parametrize("net", NETS, ids=str)
@pytest.mark.parametrize("size", [1, 4])
def test_other_batches_give_the_same_bits_in_float64(net: Net, norm: Norm, size: int, random_dataset: Dataset) -> None:
    whole = experiment(net, norm, "float64")
    [together] = train([whole], random_dataset)
    chunks = in_chunks(whole, size, random_dataset)
    np.testing.assert_array_equal(together["weights"][:, 0], chunks["weights"][:, 0])
    if isinstance(net, PreResNet):
        largest = np.abs(together["weights"]).max()
        np.testing.assert_allclose(together["weights"], chunks["weights"], rtol=0, atol=1e-12 * largest)
        return
    for name, values in together.items():
        np.testing.assert_array_equal(values, chunks[name], err_msg=name)


@pytest.mark.parametrize("norm", [BatchNorm(), LayerNorm()], ids=str)
@pytest.mark.parametrize("net", NETS, ids=str)
def test_an_evaluation_in_parts_is_that_of_all_at_once(
    net: Net, norm: Norm, random_dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    observed = tuple(Observe(name, (0, STEPS)) for name in ("train_loss", "test_loss", "test_predictions"))
    whole = replace(experiment(net, norm, "float64"), observe=observed)
    [together] = train([whole], random_dataset)
    # One replica after the other, and of the thirty test images seven at a time.
    monkeypatch.setattr(metrics, "TOGETHER_BYTES", 1)
    monkeypatch.setattr(metrics, "PART_BYTES", 1)
    monkeypatch.setattr(metrics, "FEWEST_TESTED", 7)
    [parts] = train([whole], random_dataset)
    np.testing.assert_array_equal(together["test_predictions"], parts["test_predictions"])
    for name in ("train_loss", "test_loss"):
        np.testing.assert_allclose(together[name], parts[name], rtol=1e-12, err_msg=name)


def test_what_else_is_in_the_batch_does_not_matter(random_dataset: Dataset) -> None:
    whole = experiment(MLP((16, 16)), BatchNorm(), "float64")
    other = replace(whole, learning_rate=0.5, weight_decay=0.0, seed=99, initial_scale=3.0)
    [alone], [beside, _] = train([whole], random_dataset), train([whole, other], random_dataset)
    for name, values in alone.items():
        np.testing.assert_array_equal(values, beside[name], err_msg=name)
