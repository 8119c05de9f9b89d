"""Who trains an experiment: nets and the toy loss each have a trainer, with the same methods."""
# ruff: noqa: ARG002 - the toy needs less than the interface gives

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from itertools import product

import numpy as np
import torch

from ilr.data.catalog import info_of
from ilr.data.dataset import LARGEST_IN_FLOAT32, Dataset
from ilr.experiments.architectures import is_own
from ilr.experiments.experiment import Data, Experiment, Observe
from ilr.experiments.optimizers import Optimizer
from ilr.experiments.own import check_told, wrong
from ilr.experiments.quantities import Axis, Examples
from ilr.nn.architectures import build, loss
from ilr.nn.arithmetic import multiplying
from ilr.nn.base import FusedNet
from ilr.nn.cuda_graph import current
from ilr.nn.execution import Formulation, kernels
from ilr.nn.layers import Layers
from ilr.nn.norms import COMPUTED_BY, has_statistics, in_training
from ilr.nn.own.trying import try_net, try_norm
from ilr.training.branching import network_steps
from ilr.training.loop import Choose, Slices, Tick, check_fusable, silent, train
from ilr.training.metrics import EVALUATION_EXAMPLES, PROBE_EXAMPLES, sampled
from ilr.training.optimizers.effective_rate import BUILT_IN, norm_power
from ilr.training.optimizers.trying import try_optimizer
from ilr.training.recorder import Arrays
from ilr.training.snapshots import UNKEPT, Keeper
from ilr.training.toy import train_toy

Load = Callable[[Data], Dataset]
Stopwatch = Callable[[Callable[[], object]], float]
"""Gives the seconds that a call takes."""

FORWARD_AND_BACKWARD = 3
"""A derivative costs about three times what is differentiated."""

SCALE_INVARIANT = 1e-9
"""Relative deviation of the loss below which a net counts as scale-invariant: rounding in float64 makes no more."""

TIMED_TOY_STEPS = 200
"""Steps of the toy in a measurement of its rate."""


class Trainer(ABC):
    """Trains an experiment and all that are fused with it, and knows beforehand what a replica comes to.

    Operations are floating-point operations in float32; one in float64 counts as two.
    """

    step_operations: float
    lengths: Mapping[Axis, int]
    """Of the axes of recordings; those of factors are the observation's own."""
    pass_operations: Mapping[Examples, float] = {"training": 0.0, "test": 0.0}
    """Of one evaluation's pass of the training or the test examples."""
    tests_by_training_set: bool = False
    """Whether test examples are normalised by statistics of the training examples, which must pass first."""
    derivative_operations: float = 0.0
    """Of a loss with its gradient and a Hessian-vector product."""
    step_bytes: int = 0
    """Working memory of a step."""
    schedule_bytes: int = 0
    """The rates of all steps, which are on the training device from the beginning."""
    evaluation_bytes: int = 0
    """Working memory of an evaluation: two layers' activations at a time, counted as all of one pass."""
    data_bytes: int = 0
    """Of the data on the training device, which all replicas share."""
    layers: int = 1
    classes: int = 0

    def __init__(self, experiment: Experiment) -> None:
        self.experiment = experiment

    @abstractmethod
    def train(
        self, slices: Slices, load: Load, device: str, tick: Tick, choose: Choose, keeper: Keeper = UNKEPT
    ) -> list[Arrays]:
        """Each slice's arrays, [replica, time, ...] by quantity.

        Args:
            slices: experiments with equal fusion keys.
            load: gives a data set; called where there is one.
            device: a torch device.
            tick: called now and then with the steps done since the last call, summed over networks.
            choose: chooses how the replicas of nets are computed.
            keeper: keeps snapshots of the training, which goes on from the last of them.

        Raises:
            ValueError: the slices cannot be fused, or do not have what is to be observed.
        """

    @abstractmethod
    def rate(self, replicas: int, device: str, operations: float, seconds: Stopwatch) -> float:
        """Operations a second of steps of so many replicas.

        Args:
            replicas: trained at a time.
            device: a torch device.
            operations: that are to be timed, about.
            seconds: times them.
        """

    def network_steps(self, slices: Slices) -> int:
        """Steps that training these slices takes, summed over networks, as `tick` is told of them."""
        return sum(one.steps * one.replicas for one in slices)

    def shape(self, observation: Observe) -> tuple[int, ...]:
        """Lengths of an observation's axes behind [replica, time]."""
        lengths = {**self.lengths, "factor": len(observation.factors)}
        return tuple(lengths[axis] for axis in observation.row.axes)

    def dtype(self, observation: Observe) -> np.dtype[np.generic]:
        """The type in which an observation is recorded."""
        dtype = observation.row.dtype
        return np.dtype(self.experiment.dtype if dtype == "training" else dtype)


class NetTrainer(Trainer):
    """Trains nets on data. What they come to is known without the data, from its form.

    Raises:
        DataUnavailableError: there is no such data set, or it is smaller than the experiment asks for.
    """

    def __init__(self, experiment: Experiment, data: Data) -> None:
        super().__init__(experiment)
        self.data = data
        self.info = info = info_of(data)
        for record in (experiment.net, experiment.norm, experiment.optimizer):
            check_told(record)
        self.net = net = build(experiment, info.image_shape, info.classes)
        try_net(net, getattr(torch, experiment.dtype))
        try_norm(experiment.norm, net, getattr(torch, experiment.dtype))
        if experiment.optimizer is not None:
            _check_optimizer(experiment.optimizer, experiment, net)
        self.batch = experiment.batch_size or info.train
        passed = min(EVALUATION_EXAMPLES, info.train)
        number = np.dtype(experiment.dtype).itemsize
        forward = 2.0 * net.multiply_adds() * (number / 4)
        self.batch_operations = FORWARD_AND_BACKWARD * self.batch * forward
        self.step_operations = experiment.batches_per_step * self.batch_operations
        self.pass_operations = {"training": passed * forward, "test": info.test * forward}
        self.tests_by_training_set = has_statistics(experiment.norm)
        self.derivative_operations = FORWARD_AND_BACKWARD**2 * PROBE_EXAMPLES * forward
        # Training keeps every activation, thrice over.
        self.step_bytes = 3 * net.activations() * self.batch * number
        self.schedule_bytes = 2 * (experiment.steps + 1) * number
        self.evaluation_bytes = net.activations() * passed * number
        pixels = 0 if info.streamed else (info.train + info.test) * info.channels * info.side**2
        self.data_bytes = pixels * (number if 4 * pixels <= LARGEST_IN_FLOAT32 else info.number_bytes)
        weights = sum(net.sizes)
        self.lengths = {"weight": weights, "sampled weight": len(sampled(weights)), "test example": info.test}
        self.layers = len(net.layers) + 1
        self.classes = info.classes

    def train(
        self, slices: Slices, load: Load, device: str, tick: Tick, choose: Choose, keeper: Keeper = UNKEPT
    ) -> list[Arrays]:
        """As `ilr.training.loop.train`, on the data that `load` gives."""
        return train(slices, load(self.data), device, tick, choose, keeper)

    def network_steps(self, slices: Slices) -> int:
        """As there, but those of replicas that are the same network at first count once until they part."""
        return network_steps(tuple(slices))

    def rate(self, replicas: int, device: str, operations: float, seconds: Stopwatch) -> float:
        """That of gradients on random images; replicas, then examples, are cut down to so many operations."""
        share = operations / self.batch_operations
        count = max(1, min(replicas, int(share)))
        examples = max(2, min(self.batch, int(share * self.batch)))
        stream = torch.Generator(device).manual_seed(0)
        dtype = getattr(torch, self.experiment.dtype)
        random = partial(torch.randn, generator=stream, device=device, dtype=dtype)
        weights, head = random(count, sum(self.net.sizes)) / 10, random(count, *self.net.head)
        own = 1 if self.experiment.batch_size is None else count
        images = random(own, examples, *self.info.image_shape)
        labels = torch.zeros(own, examples, dtype=torch.int64, device=device)
        normalise = in_training(self.experiment.norm)

        def run(way: Formulation) -> None:
            way.loss_and_gradients(self.net, weights, head, images, labels, normalise)

        where = torch.device(device)
        ways = [Formulation(*one) for one in product({1, count}, kernels(where))]
        with current(where), multiplying(self.experiment.precision, where):
            fastest = min(seconds(partial(run, way)) for way in ways)
        return self.batch_operations * count * examples / self.batch / fastest

    @torch.no_grad()
    def scale_deviation(self) -> float:
        """|L(10w) − L(w)|/L(w) of the initial weights w on random images, in float64: 0 if they are scale-invariant."""
        stream = torch.Generator().manual_seed(0)
        images = torch.randn((1, PROBE_EXAMPLES, *self.info.image_shape), generator=stream, dtype=torch.float64)
        labels = torch.randint(self.info.classes, (1, PROBE_EXAMPLES), generator=stream)
        key = self.experiment.seed, self.experiment.first_replica
        weights = torch.from_numpy(self.net.initial_weights(*key))[None]
        head = torch.from_numpy(self.net.initial_head(*key))[None]
        layers = Layers(in_training(self.experiment.norm))
        once, ten_times = (loss(self.net.forward(c * weights, head, images, layers), labels).item() for c in (1, 10))
        return abs(ten_times - once) / once


class ToyTrainer(Trainer):
    """Runs the toy loss, which has two weights and no data; in float64 and without torch."""

    # The cost is the interpreter's, about as much as ten thousand operations a step.
    step_operations = 1e4
    lengths: Mapping[Axis, int] = {"weight": 2, "test example": 0}

    def train(
        self, slices: Slices, load: Load, device: str, tick: Tick, choose: Choose, keeper: Keeper = UNKEPT
    ) -> list[Arrays]:
        """Each slice's arrays, [replica, time] by quantity."""
        check_fusable(slices)
        return train_toy(slices, tick, keeper)

    def rate(self, replicas: int, device: str, operations: float, seconds: Stopwatch) -> float:
        """That of a few hundred steps of all replicas, whatever they come to."""
        short = replace(self.experiment, steps=TIMED_TOY_STEPS, replicas=replicas, observe=())
        return self.step_operations * TIMED_TOY_STEPS * replicas / seconds(partial(train_toy, [short], silent))

    def dtype(self, observation: Observe) -> np.dtype[np.generic]:
        """Always float64."""
        return np.dtype("float64")


def invariance_found(experiment: Experiment) -> str:
    """In a few words whether a net or a norm of somebody's own is scale-invariant, measured; empty for those of ilr."""
    if type(experiment.norm) in COMPUTED_BY and not is_own(experiment.net):
        return ""
    trainer = trainer_of(experiment)
    assert isinstance(trainer, NetTrainer)
    deviation = trainer.scale_deviation()
    found = "scale-invariant" if deviation < SCALE_INVARIANT else "not scale-invariant"
    change = f"{deviation:,.0%}" if deviation >= 0.1 else f"{deviation:.1g} of it"
    return f"measured: {found} (10 times the initial weights change the loss by {change})"


def rate_found(experiment: Experiment) -> str:
    """In a few words which effective learning rate an optimiser of somebody's own has; empty for those of ilr."""
    optimizer = experiment.optimizer
    if optimizer is None or type(optimizer) in BUILT_IN:
        return ""
    power = norm_power(optimizer)
    if power is None:
        return "measured: no effective learning rate (its steps follow no power of ‖w‖ that stays)"
    return f"measured: effective learning rate { {-2: 'η/‖w‖²', -1: 'η/‖w‖', 0: 'η'}[power] }"


def _check_optimizer(optimizer: Optimizer, experiment: Experiment, net: FusedNet) -> None:
    """Tries an optimiser before anything trains.

    Raises:
        OwnRecordError: it does not do what it must.
        ValueError: the experiment observes what its steps do not have.
    """
    try_optimizer(optimizer, tuple(net.shapes), getattr(torch, experiment.dtype))
    observed = {observation.quantity for observation in experiment.observe}
    if "effective_learning_rate" in observed and norm_power(optimizer) is None:
        raise wrong(
            optimizer,
            "its steps follow no power of the weight norm, or none that stays, so that there is no "
            "'effective_learning_rate': observe 'weight_norm' and 'step_angle'",
        )


def trainer_of(experiment: Experiment) -> Trainer:
    """The trainer of an experiment, and of all that are fused with it."""
    return ToyTrainer(experiment) if experiment.data is None else NetTrainer(experiment, experiment.data)
