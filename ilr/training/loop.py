"""The training loop: replicas of compatible experiments as one batch of tensors."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ilr.data.dataset import Dataset
from ilr.data.on_device import Examples, place
from ilr.data.sampling import Batches
from ilr.experiments.architectures import Toy
from ilr.experiments.experiment import STEP_QUANTITIES, Experiment, Observe
from ilr.experiments.recording import DIVERGED_AT
from ilr.experiments.schedules import Constant
from ilr.experiments.seeding import Stream, generator
from ilr.nn.architectures import build
from ilr.nn.base import FusedNet
from ilr.nn.execution import Formulation
from ilr.nn.norms import Normalise, in_training
from ilr.training.cuda_graph import Replay
from ilr.training.metrics import Networks, angle, second_moment
from ilr.training.optimizers import SGD
from ilr.training.recorder import Recorder
from ilr.training.toy import train_toy

Array = npt.NDArray[np.generic]
Arrays = dict[str, Array]

Choose = Callable[[FusedNet, Tensor, Tensor, Tensor, Tensor, Normalise], Formulation]
"""Chooses a formulation for tensors like those of every step; arguments as `ilr.nn.execution.fastest`."""

REPORT_EVERY = 64
"""Steps between two reports of progress."""


def fusion_key(experiment: Experiment) -> Experiment:
    """Experiments with equal keys train in one batch: all that may differ between replicas is made equal here."""
    return replace(
        experiment,
        learning_rate=Constant(0.0),
        weight_decay=Constant(0.0),
        replicas=2,
        seed=0,
        first_replica=0,
        initial_scale=1.0,
        initial_velocity=0.0,
    )


def train(
    slices: Sequence[Experiment],
    dataset: Dataset | None,
    device: str = "cpu",
    tick: Callable[[int], None] = lambda _: None,
    choose: Choose = lambda _, weights, *__: Formulation(len(weights)),
) -> list[Arrays]:
    """Trains slices of experiments that share a fusion key and gives each slice's arrays, [replica, time, ...] by
    quantity.

    Args:
        slices: experiments with equal fusion keys.
        dataset: what they train on; `None` for the toy loss.
        device: a torch device.
        tick: called now and then with the replica-steps done since the last call.
        choose: chooses how the replicas are computed; by default all at once.

    Raises:
        ValueError: the slices cannot be fused.
    """
    # float32 means float32 on GPUs, too: of its 23 bits TF32 would multiply 10, which no identity survives.
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    if len({fusion_key(experiment) for experiment in slices}) != 1:
        raise ValueError(
            "only experiments that differ in nothing but schedules, seeds and initial scale train as one batch"
        )
    if isinstance(slices[0].net, Toy):
        arrays: Arrays = dict(train_toy(slices, tick))
    else:
        if dataset is None:
            raise ValueError(f"{slices[0]} needs a data set")
        arrays = _Run(slices, dataset, torch.device(device), choose).train(tick)
    arrays[DIVERGED_AT] = _diverged_at(slices[0], arrays)
    ends = np.cumsum([experiment.replicas for experiment in slices])
    return [
        {name: array[end - experiment.replicas : end] for name, array in arrays.items()}
        for experiment, end in zip(slices, ends, strict=True)
    ]


class _Run:
    """One batch of replicas in training."""

    def __init__(self, slices: Sequence[Experiment], dataset: Dataset, device: torch.device, choose: Choose) -> None:
        shared = slices[0]
        self.steps = shared.steps
        self.norm = shared.norm
        self.device = device
        self.dtype: torch.dtype = getattr(torch, shared.precision)
        self.replicas = [(experiment.seed, replica) for experiment in slices for replica in experiment.replica_ids]
        self.train_set = place(dataset.train_images, dataset.train_labels, device, self.dtype)
        self.test_set = place(dataset.test_images, dataset.test_labels, device, self.dtype)
        self.net = build(shared, dataset.train_images.shape[1:], dataset.classes)
        self.normalise = in_training(shared.norm)
        self.partners = shared.partners
        # A pair of partners is known by the even one: what they share is drawn from its streams.
        self.pairs = [(seed, replica - replica % 2) for seed, replica in self.replicas]
        self.own_batches, self.common_batches = (
            Batches(shared, keys, dataset, self.train_set) for keys in (self.replicas, self.pairs)
        )

        # One value more than there are steps: the final state has an effective learning rate too.
        self.learning_rates = self._per_replica(slices, lambda one: one.learning_rates())
        self.weight_decays = self._per_replica(slices, lambda one: one.weight_decays())
        [scale] = self._per_replica(slices, lambda one: np.array([one.initial_scale]))
        [velocity] = self._per_replica(slices, lambda one: np.array([one.initial_velocity]))
        born_one = self.partners is not None and self.partners.parted_at is not None
        owners = self.pairs if born_one else self.replicas
        self.weights = scale * self._tensor(np.stack([self.net.initial_weights(*key) for key in owners]))
        owners = self.pairs if self.partners else self.replicas
        self.head = self._tensor(np.stack([self.net.initial_head(*key) for key in owners]))
        self.average = torch.zeros_like(self.weights)
        self.averaged = 0
        self.sgd = SGD(self.net.layers_of(self.weights), shared.momentum, velocity)
        batch = self._batch(0)
        self.formulation = choose(self.net, self.weights, self.head, batch.images, batch.labels, self.normalise)
        self.replay: Replay | None = None
        self.recorder = Recorder(shared.observe)

    def train(self, tick: Callable[[int], None]) -> Arrays:
        """All steps, with every observation on the way: [replica, time, ...] by quantity."""
        for step in range(self.steps):
            due = self.recorder.due(step)
            self._observe_state(step, due)
            batch = self._batch(step)
            wanted = {one.quantity for one in due if one.quantity in STEP_QUANTITIES}
            inputs = batch.images, batch.labels, self.learning_rates[step], self.weight_decays[step]
            if self.device.type == "cuda" and self.replay is None:
                self.replay = Replay(partial(self._step, STEP_QUANTITIES), inputs, self.sgd.state)
            measured = self.replay(*inputs) if self.replay else self._step(wanted, *inputs)
            for quantity in wanted:
                self._keep(quantity, measured[quantity])
            if step % REPORT_EVERY == REPORT_EVERY - 1:
                tick(REPORT_EVERY * len(self.replicas))
        tick(self.steps % REPORT_EVERY * len(self.replicas))
        self._observe_state(self.steps, self.recorder.due(self.steps))
        return self.recorder.arrays

    def _step(
        self, wanted: Collection[str], images: Tensor, labels: Tensor, learning_rate: Tensor, weight_decay: Tensor
    ) -> dict[str, Tensor]:
        """One step of SGD, and those of its quantities that are wanted, each [R]."""
        losses, gradients = self.formulation.loss_and_gradients(
            self.net, self.weights, self.head, images, labels, self.normalise
        )
        measured = {"batch_loss": losses}
        if "gradient_second_moment" in wanted:
            measured["gradient_second_moment"] = second_moment(self.weights, gradients)
        before = self.weights.clone() if "step_angle" in wanted else self.weights
        self.sgd.step(gradients, learning_rate, weight_decay)
        if "step_angle" in wanted:
            measured["step_angle"] = angle(before, self.weights)
        return measured

    def _batch(self, step: int) -> Examples:
        """The step's images [R or 1, N, channel, row, column] and labels [R or 1, N]."""
        return (self.common_batches if self._united(step) else self.own_batches).at(step)

    def _united(self, step: int) -> bool:
        """Whether partners see the same batch at this step."""
        return self.partners is not None and self.partners.parted_at is not None and step < self.partners.parted_at

    def _observe_state(self, step: int, due: Sequence[Observe]) -> None:
        wanted = [one for one in due if one.quantity not in STEP_QUANTITIES]
        if any(one.quantity == "average_test_accuracy" for one in wanted):
            self.averaged += 1
            self.average.lerp_(self.weights, 1 / self.averaged)
        networks = Networks(
            net=self.net,
            norm=self.norm,
            weight_vectors=self.weights,
            head=self.head,
            learning_rate=self.learning_rates[step],
            probe_direction=self._probe_direction,
            train=self.train_set,
            test=self.test_set,
            average=self.average,
        )
        for observation in wanted:
            self._keep(observation.quantity, networks.measure(observation))

    def _keep(self, quantity: str, values: Tensor) -> None:
        self.recorder.keep(quantity, values.cpu().numpy())

    def _probe_direction(self) -> Tensor:
        draws = [generator(*key, Stream.PROBE).standard_normal(self.weights.shape[1]) for key in self.replicas]
        return torch.nn.functional.normalize(self._tensor(np.stack(draws)), dim=1)

    def _per_replica(self, slices: Sequence[Experiment], of: Callable[[Experiment], Array]) -> Tensor:
        """What `of` gives for each slice, [time], repeated for its replicas: [time, R, 1]."""
        values = np.stack([of(experiment) for experiment in slices for _ in experiment.replica_ids], axis=1)
        return self._tensor(values)[:, :, None]

    def _tensor(self, array: Array) -> Tensor:
        return torch.from_numpy(array).to(self.device, self.dtype)


def _diverged_at(experiment: Experiment, arrays: Arrays) -> Array:
    """First observed step with a value that is not finite, for each replica; −1 if there is none."""
    first = np.full(len(next(iter(arrays.values()))), np.iinfo(np.int64).max)
    for observation in experiment.observe:
        values = arrays[observation.quantity]
        bad = ~np.isfinite(values).all(axis=tuple(range(2, values.ndim)))
        steps = np.where(bad, np.asarray(observation.at), np.iinfo(np.int64).max)
        first = np.minimum(first, steps.min(axis=1))
    return np.where(first == np.iinfo(np.int64).max, -1, first)
