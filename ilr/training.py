"""The training loop: replicas of compatible experiments as one batch of tensors."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ilr.augmentation import Augmenter, Draws
from ilr.data import Dataset
from ilr.examples import Examples, place
from ilr.experiment import STEP_QUANTITIES, Experiment, Toy
from ilr.nets import build, loss
from ilr.observables import Networks, second_moment, training_normalise
from ilr.recording import DIVERGED_AT
from ilr.schedules import Constant
from ilr.sgd import SGD
from ilr.streams import Stream, generator
from ilr.toy import train_toy

Array = npt.NDArray[np.generic]
Arrays = dict[str, Array]


REPORT_EVERY = 64
"""Steps between two reports of progress."""


def fusion_key(experiment: Experiment) -> Experiment:
    """Experiments with equal keys train in one batch: all that may differ between replicas is made equal here."""
    return replace(
        experiment,
        learning_rate=Constant(0.0),
        weight_decay=Constant(0.0),
        replicas=1,
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
) -> list[Arrays]:
    """Trains slices of experiments that share a fusion key and gives each slice's arrays, [replica, time, ...] by
    quantity.

    Args:
        slices: experiments with equal fusion keys.
        dataset: what they train on; `None` for the toy loss.
        device: a torch device.
        tick: called now and then with the replica-steps done since the last call.

    Raises:
        ValueError: the slices cannot be fused.
    """
    if len({fusion_key(experiment) for experiment in slices}) != 1:
        raise ValueError(
            "only experiments that differ in nothing but schedules, seeds and initial scale train as one batch"
        )
    if isinstance(slices[0].net, Toy):
        arrays: Arrays = dict(train_toy(slices, tick))
    else:
        if dataset is None:
            raise ValueError(f"{slices[0]} needs a data set")
        arrays = _Run(slices, dataset, torch.device(device)).train(tick)
    arrays[DIVERGED_AT] = _diverged_at(slices[0], arrays)
    ends = np.cumsum([experiment.replicas for experiment in slices])
    return [
        {name: array[end - experiment.replicas : end] for name, array in arrays.items()}
        for experiment, end in zip(slices, ends, strict=True)
    ]


class BatchOrder:
    """Which training examples each replica sees at each step: a fresh shuffle every epoch, its incomplete end
    dropped.

    Args:
        replicas: (root seed, replica id) of each.
        examples: size of the training set.
        batch_size: examples per step.
    """

    def __init__(self, replicas: Sequence[tuple[int, int]], examples: int, batch_size: int) -> None:
        if batch_size > examples:
            raise ValueError(f"a batch of {batch_size} cannot be drawn from {examples} training examples")
        self.replicas = replicas
        self.examples = examples
        self.batch_size = batch_size
        self.steps_per_epoch = examples // batch_size
        self._epoch = -1
        self._order = np.empty(0, dtype=np.int64)

    def indices(self, step: int) -> npt.NDArray[np.int64]:
        """The examples of one step, [replica, batch_size]."""
        epoch, position = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._epoch = epoch
            self._order = np.stack(
                [generator(*key, Stream.BATCH_ORDER, epoch).permutation(self.examples) for key in self.replicas]
            )
        return self._order[:, position * self.batch_size : (position + 1) * self.batch_size]


class _Run:
    """One batch of replicas in training."""

    def __init__(self, slices: Sequence[Experiment], dataset: Dataset, device: torch.device) -> None:
        shared = slices[0]
        self.steps = shared.steps
        self.observe = shared.observe
        self.norm = shared.norm
        self.device = device
        self.dtype: torch.dtype = getattr(torch, shared.precision)
        self.replicas = [(experiment.seed, replica) for experiment in slices for replica in experiment.replica_ids]
        self.train_set = place(dataset.train_images, dataset.train_labels, device, self.dtype)
        self.test_set = place(dataset.test_images, dataset.test_labels, device, self.dtype)
        self.net = build(shared, dataset.train_images.shape[1:], dataset.classes)
        self.normalise = training_normalise(shared.norm)
        self.order = shared.batch_size and BatchOrder(self.replicas, len(dataset.train_labels), shared.batch_size)
        self.augmenter: Augmenter | None = None
        if self.order and shared.augmentation:
            draws = Draws(shared.augmentation, self.replicas, self.order.batch_size, self.order.steps_per_epoch)
            self.augmenter = Augmenter(self.train_set, draws, self._tensor(dataset.black))

        # One value more than there are steps: the final state has an effective learning rate too.
        self.learning_rates = self._per_replica(slices, lambda one: one.learning_rate.values(self.steps + 1))
        self.weight_decays = self._per_replica(slices, lambda one: one.weight_decay.values(self.steps + 1))
        [scale] = self._per_replica(slices, lambda one: np.array([one.initial_scale]))
        [velocity] = self._per_replica(slices, lambda one: np.array([one.initial_velocity]))
        self.weights = scale * self._tensor(np.stack([self.net.initial_weights(*key) for key in self.replicas]))
        self.head = self._tensor(np.stack([self.net.initial_head(*key) for key in self.replicas]))
        self.sgd = SGD(self.weights, shared.momentum, velocity)
        self.recorded: dict[str, list[Array]] = {observation.quantity: [] for observation in self.observe}

    def train(self, tick: Callable[[int], None]) -> Arrays:
        """All steps, with every observation on the way: [replica, time, ...] by quantity."""
        for step in range(self.steps):
            self._observe_state(step)
            batch = self._batch(step)
            weights = self.weights.detach().requires_grad_()
            losses = loss(self.net.forward(weights, self.head, batch.images, self.normalise), batch.labels)
            # The sum, not the mean: a mean would divide every replica's learning rate by their number.
            (gradient,) = torch.autograd.grad(losses.sum(), weights)
            self._observe_step(step, losses.detach(), gradient)
            self.sgd.step(gradient, self.learning_rates[step], self.weight_decays[step])
            if step % REPORT_EVERY == REPORT_EVERY - 1:
                tick(REPORT_EVERY * len(self.replicas))
        tick(self.steps % REPORT_EVERY * len(self.replicas))
        self._observe_state(self.steps)
        return {quantity: np.stack(values, axis=1) for quantity, values in self.recorded.items()}

    def _batch(self, step: int) -> Examples:
        """The step's images [R or 1, N, channel, row, column] and labels [R or 1, N]."""
        if not self.order:
            whole = self.train_set[:]
            return Examples(whole.images[None], whole.labels[None])
        indices = torch.from_numpy(self.order.indices(step)).to(self.device)
        return self.augmenter.batch(step, indices) if self.augmenter else self.train_set[indices]

    def _observe_state(self, step: int) -> None:
        networks = Networks(
            net=self.net,
            norm=self.norm,
            weight_vectors=self.weights,
            head=self.head,
            learning_rate=self.learning_rates[step],
            probe_direction=self._probe_direction,
            train=self.train_set,
            test=self.test_set,
        )
        for observation in self.observe:
            if observation.quantity not in STEP_QUANTITIES and step in observation.at:
                self._record(observation.quantity, networks.measure(observation))

    def _observe_step(self, step: int, losses: Tensor, gradient: Tensor) -> None:
        for observation in self.observe:
            if step in observation.at:
                if observation.quantity == "batch_loss":
                    self._record("batch_loss", losses)
                elif observation.quantity == "gradient_second_moment":
                    self._record("gradient_second_moment", second_moment(self.weights, gradient))

    def _record(self, quantity: str, values: Tensor) -> None:
        self.recorded[quantity].append(values.cpu().numpy())

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
