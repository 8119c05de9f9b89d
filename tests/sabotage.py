"""Sabotages: ways to break the training path on purpose, by monkeypatching; ilr itself knows of none.

What must notice them, the detectors, is in `test_sabotage.py`.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from ilr.data import augmentation, sampling
from ilr.data import dataset as data_module
from ilr.data.augmentation import Draws
from ilr.data.dataset import Dataset
from ilr.data.on_device import Examples
from ilr.data.readers import RawData
from ilr.data.sampling import BatchOrder
from ilr.experiments.experiment import Data, Experiment, Observe
from ilr.experiments.norms import BatchNorm
from ilr.experiments.schedules import Constant, Schedule
from ilr.experiments.seeding import Stream, generator
from ilr.nn import architectures, base, execution, norms
from ilr.nn.base import FusedLayers, FusedNet
from ilr.nn.execution import Formulation
from ilr.nn.layers import Layers
from ilr.nn.norms import CalibratingNorm, FrozenStatistics, Statistics, in_training
from ilr.training import loop, metrics, toy, trainers
from ilr.training.draws import StepDraws
from ilr.training.loop import _Run
from ilr.training.metrics import Networks
from ilr.training.optimizers.sgd import SGD

Patch = pytest.MonkeyPatch
Float64 = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Sabotage:
    """One way to break the training path."""

    name: str
    breaks: str
    """What goes wrong, in one sentence."""
    apply: Callable[[Patch], None]
    caught_by: tuple[str, ...]
    """Names of the detectors that notice, in their order; the others do not."""


# Places to break


def in_every_experiment(change: Callable[[Experiment], Experiment]) -> Callable[[Patch], None]:
    """Nets and toy train another experiment than the one asked for."""
    return in_every_batch(lambda slices: [change(one) for one in slices])


def in_every_batch(change: Callable[[list[Experiment]], list[Experiment]]) -> Callable[[Patch], None]:
    """Nets and toy train other slices than those asked for."""

    def apply(patch: Patch) -> None:
        start, train_toy = _Run.__init__, trainers.train_toy
        patch.setattr(_Run, "__init__", lambda run, slices, *rest: start(run, change(list(slices)), *rest))
        patch.setattr(trainers, "train_toy", lambda slices, *rest: train_toy(change(list(slices)), *rest))

    return apply


Gradients = list[Tensor]
Step = Callable[[SGD, Gradients, Tensor, Tensor], None]


def in_every_step(step: Callable[[Step, SGD, Gradients, Tensor, Tensor], None]) -> Callable[[Patch], None]:
    """Does `step` instead of SGD's own step, which it is given first."""

    def apply(patch: Patch) -> None:
        own = SGD.step
        patch.setattr(SGD, "step", torch.no_grad()(lambda sgd, *given: step(own, sgd, *given)))

    return apply


def before_every_step(act: Callable[[_Run, int, Examples], None]) -> Callable[[Patch], None]:
    """Does `act`, with the run, the step and its batch, before the gradient is taken."""

    def apply(patch: Patch) -> None:
        take = _Run._eager

        def sabotaged(run: _Run, step: int, wanted: Collection[str]) -> Mapping[str, Tensor]:
            act(run, step, run.draws.batch(step))
            return take(run, step, wanted)

        patch.setattr(_Run, "_eager", sabotaged)

    return apply


def in_evaluation(statistics_of: Callable[[Networks, int, Statistics], Statistics]) -> Callable[[Patch], None]:
    """Test examples are normalised by other statistics than those just measured.

    `statistics_of` is told where in the tensor of weights the replicas are that are being evaluated.
    """

    def apply(patch: Patch) -> None:
        evaluate = Networks._tested

        def tested(networks: Networks, weights: Tensor, head: Tensor, images: Tensor, statistics: Statistics) -> Tensor:
            others = statistics_of(networks, int(weights.storage_offset()), statistics)
            return evaluate(networks, weights, head, images, others)

        patch.setattr(Networks, "_tested", tested)

    return apply


Draw = Callable[[BatchOrder, int], Indices]


def in_batch_order(draw: Callable[[Draw, BatchOrder, int], Indices]) -> Callable[[Patch], None]:
    """Does `draw` instead of drawing a step's batches, which it is given first."""

    def apply(patch: Patch) -> None:
        own = BatchOrder.indices
        patch.setattr(BatchOrder, "indices", lambda order, step: draw(own, order, step))

    return apply


# What is done there


@dataclass(frozen=True)
class OneStepLate:
    """A schedule whose values come a step late; the first one stays."""

    schedule: Schedule

    def values(self, steps: int) -> Float64:
        values = self.schedule.values(steps)
        return np.concatenate([values[:1], values[:-1]])


def late_schedules(experiment: Experiment) -> Experiment:
    return replace(
        experiment,
        learning_rate=OneStepLate(experiment.learning_rate),
        weight_decay=OneStepLate(experiment.weight_decay),
    )


def swapped_schedules(experiment: Experiment) -> Experiment:
    return replace(experiment, learning_rate=experiment.weight_decay, weight_decay=experiment.learning_rate)


def decay_without_rate(own: Step, sgd: SGD, gradients: Gradients, rate: Tensor, decay: Tensor) -> None:
    for layer in sgd.layers:
        layer.mul_(1 - spread(decay, layer))
    own(sgd, gradients, rate, 0 * decay)


def decay_twice(own: Step, sgd: SGD, gradients: Gradients, rate: Tensor, decay: Tensor) -> None:
    for layer in sgd.layers:
        layer.mul_(1 - spread(rate * decay, layer))
    own(sgd, gradients, rate, decay)


def rate_in_the_buffer(own: Step, sgd: SGD, gradients: Gradients, rate: Tensor, decay: Tensor) -> None:
    # A buffer filled with rate × direction is ours, times the rate; ours must then shrink where the rate grows.
    last_rate = vars(sgd).get("last_rate", rate)
    for velocity in sgd.velocities:
        velocity.mul_(spread(last_rate / rate, velocity))
    vars(sgd)["last_rate"] = rate
    own(sgd, gradients, rate, decay)


def nesterov(own: Step, sgd: SGD, gradients: Gradients, rate: Tensor, decay: Tensor) -> None:
    if not sgd.velocities:
        own(sgd, gradients, rate, decay)
        return
    for layer, velocity, gradient in zip(sgd.layers, sgd.velocities, gradients, strict=True):
        direction = gradient + spread(decay, layer) * layer
        velocity.mul_(sgd.momentum).add_(direction)
        layer.sub_(spread(rate, layer) * (direction + sgd.momentum * velocity))


def clipped(own: Step, sgd: SGD, gradients: Gradients, rate: Tensor, decay: Tensor) -> None:
    norm = torch.cat([gradient.flatten(1) for gradient in gradients], dim=1).norm(dim=1).clamp(min=0.1)
    own(sgd, [gradient / spread(norm, gradient) * 0.1 for gradient in gradients], rate, decay)


def rounded(own: Step, sgd: SGD, gradients: Gradients, rate: Tensor, decay: Tensor) -> None:
    own(sgd, gradients, rate, decay)
    for layer in sgd.layers:
        layer.copy_(layer.bfloat16())


def spread(values: Tensor, layer: Tensor) -> Tensor:
    """One value for each replica, with as many axes as a layer's weights."""
    return values.view(-1, *(1,) * (layer.dim() - 1))


def averaged_loss(patch: Patch) -> None:
    own = execution.loss_and_gradients

    def averaged(*given: Any) -> tuple[Tensor, Gradients]:
        losses, gradients = own(*given)
        return losses, [gradient / len(losses) for gradient in gradients]

    patch.setattr(execution, "loss_and_gradients", averaged)


def losses_of(run: _Run, batch: Examples) -> Tensor:
    return architectures.loss(run.net.forward(run.weights, run.head, batch.images, Layers(run.normalise)), batch.labels)


def evaluation_mode(run: _Run, step: int, batch: Examples) -> None:
    if isinstance(run.norm, BatchNorm):
        if step == 0:
            statistics: Statistics = []
            run.normalise = CalibratingNorm(run.norm.eps, statistics)
            losses_of(run, batch)
            vars(run)["fixed"] = statistics
        run.normalise = FrozenStatistics(run.norm.eps, vars(run)["fixed"])


def moving_head(run: _Run, step: int, batch: Examples) -> None:
    if run.net.trainable_head:
        return
    run.head.requires_grad_()
    (gradient,) = torch.autograd.grad(losses_of(run, batch).sum(), run.head)
    run.head = run.head.detach() - run.learning_rates[step][:, :, None] * gradient


def moving_scale(run: _Run, step: int, batch: Examples) -> None:
    """One scale a replica stands for the affine parameters of all its normalisations."""
    if not isinstance(run.norm, BatchNorm):
        return
    scales = vars(run).get("scales", torch.ones(len(run.replicas), 1, dtype=run.dtype)).requires_grad_()

    class Scaled(CalibratingNorm):
        def _normalised(self, inputs: Tensor) -> Tensor:
            by_channel = vars(run)["scales"].repeat_interleave(inputs.shape[1] // len(run.replicas))
            return super()._normalised(inputs) * by_channel.view(1, -1, *[1] * (inputs.ndim - 2))

    vars(run)["scales"], run.normalise = scales, Scaled(run.norm.eps, [])
    (gradient,) = torch.autograd.grad(losses_of(run, batch).sum(), scales)
    vars(run)["scales"] = scales.detach() - run.learning_rates[step] * gradient


def head_among_the_weights(patch: Patch) -> None:
    build = architectures.build
    patch.setattr(loop, "build", lambda experiment, *rest: build(replace(experiment, trainable_head=True), *rest))


def large_eps(patch: Patch) -> None:
    patch.setattr(norms._OverBatch, "__init__", lambda normalise, _: vars(normalise).update(eps=0.1))


def late_snapshots(patch: Patch) -> None:
    observe = _Run._observe_state

    def observe_late(run: _Run, step: int, due: Sequence[Observe]) -> None:
        if step > 0:
            observe(run, step - 1, run.recorder.due(step - 1))
        if step == run.steps:
            observe(run, step, due)

    patch.setattr(_Run, "_observe_state", observe_late)


def statistics_of_the_first(networks: Networks, replicas: int, statistics: Statistics) -> Statistics:
    # All evaluations of a run share its training set on the device.
    return vars(networks.train).setdefault("statistics", {}).setdefault(replicas, statistics)


def statistics_of_the_moment(networks: Networks, replicas: int, statistics: Statistics) -> Statistics:
    # Every moment of a run has its own tensor of learning rates, which changed weights of that moment inherit.
    return vars(networks.learning_rate).setdefault("statistics", {}).setdefault(replicas, statistics)


def statistics_of_the_test_set(patch: Patch) -> None:
    patch.setattr(metrics, "by_training_set", lambda norm, _: in_training(norm))


def in_pairs(root_seed: int, replica: int, stream: Stream, *keys: int) -> np.random.Generator:
    return generator(root_seed, replica - replica % 2, stream, *keys)


def shared_streams(patch: Patch) -> None:
    for module in (augmentation, sampling, base, toy, loop):
        patch.setattr(module, "generator", in_pairs)


def shared_head(patch: Patch) -> None:
    draw = FusedLayers.initial_head
    patch.setattr(FusedLayers, "initial_head", lambda net, root_seed, _: draw(net, root_seed, 0))


def shared_crops(patch: Patch) -> None:
    own = Draws.at
    patch.setattr(Draws, "at", lambda draws, step: np.repeat(own(draws, step)[:1], len(draws.replicas), axis=0))


def parting_late(patch: Patch) -> None:
    of_step = StepDraws._batches
    patch.setattr(StepDraws, "_batches", lambda draws, step: of_step(draws, max(step - 1, 0)))


def born_apart(patch: Patch) -> None:
    start = _Run.__init__

    def started(run: _Run, *given: Any) -> None:
        start(run, *given)
        if run.shared.partners:
            run.weights.copy_(run._tensor(np.stack([run.net.initial_weights(*key) for key in run.replicas])))

    patch.setattr(_Run, "__init__", started)


def average_of_strangers(patch: Patch) -> None:
    measure = Networks.partner_average_test_accuracy

    def measured(networks: Networks) -> Tensor:
        strangers = networks.weight_vectors.clone()
        strangers[1::2] = strangers[1::2].roll(1, dims=0)
        return measure(replace(networks, weight_vectors=strangers))

    patch.setattr(Networks, "partner_average_test_accuracy", measured)


def parts_out_of_order(patch: Patch) -> None:
    compute = Formulation.loss_and_gradients

    def computed(one: Formulation, net: FusedNet, weights: Tensor, *rest: Any) -> tuple[Tensor, Gradients]:
        losses, gradients = compute(one, net, weights, *rest)
        turn = one.at_once if one.at_once < len(weights) else 0
        return losses.roll(turn, dims=0), [gradient.roll(turn, dims=0) for gradient in gradients]

    patch.setattr(Formulation, "loss_and_gradients", computed)


def batches_of_the_first_part(patch: Patch) -> None:
    compute = Formulation.loss_and_gradients

    def computed(
        one: Formulation, net: FusedNet, weights: Tensor, head: Tensor, images: Tensor, labels: Tensor, *rest: Any
    ) -> tuple[Tensor, Gradients]:
        if len(images) > 1:
            taken = torch.arange(len(weights)) % one.at_once
            images, labels = images[taken], labels[taken]
        return compute(one, net, weights, head, images, labels, *rest)

    patch.setattr(Formulation, "loss_and_gradients", computed)


class PositionOrder(BatchOrder):
    """Batches keyed by the position of a replica in its batch of replicas instead of its id."""

    def __init__(self, replicas: list[tuple[int, int]], examples: int, batch_size: int) -> None:
        super().__init__([(seed, position) for position, (seed, _) in enumerate(replicas)], examples, batch_size)


@np.errstate(all="ignore")
def step_in_x_and_y(log_norm: Float64, log_angle: Float64, rate: Float64, decay: Float64) -> tuple[Float64, Float64]:
    norm, angle = np.exp(log_norm), np.exp(log_angle)
    x, y = norm * np.sin(angle), norm * np.cos(angle)
    slope = 2 * x * y / (x**2 + y**2) ** 2
    x, y = (1 - rate * decay) * x - rate * slope * y, (1 - rate * decay) * y + rate * slope * x
    return np.log(np.hypot(x, y)), np.log(np.arctan2(np.abs(x), np.abs(y)))


def decay_after_the_step(patch: Patch) -> None:
    own = toy.toy_step

    def step(log_norm: Float64, log_angle: Float64, rate: Float64, decay: Float64) -> tuple[Float64, Float64]:
        new_log_norm, new_log_angle = own(log_norm, log_angle, rate, 0 * decay)
        return new_log_norm + np.log1p(-rate * decay), new_log_angle

    patch.setattr(toy, "toy_step", step)


# Names of claims that two replicas can judge in about a second.
SCALE_INVARIANCE = "scale-invariance"
INITIAL_SCALE = "learning-rate-is-initial-scale"
EXPONENTIAL = "exponential-learning-rate-equivalence"
TOY = "gradient-descent-is-not-gradient-flow-toy"


def changed_labels(patch: Patch) -> None:
    read = data_module.read

    def changed(*arguments: Any) -> RawData:
        raw = read(*arguments)
        labels = raw.train_labels.copy()
        labels[::100] = (labels[::100] + 1) % raw.classes
        return replace(raw, train_labels=labels)

    patch.setattr(data_module, "read", changed)


def scaled_by_the_test_half(prepared: Callable[[Data, RawData], Dataset]) -> Callable[[Data, RawData], Dataset]:
    def other(data: Data, raw: RawData) -> Dataset:
        found = prepared(data, raw)
        test = np.asarray(found.test_images[:])
        mean, deviation = test.mean(), test.std()
        return replace(
            found, train_images=(found.train_images[:] - mean) / deviation, test_images=(test - mean) / deviation
        )

    return other


SABOTAGES = (
    Sabotage(
        "weight decay off",
        "λ is 0, whatever the experiment says.",
        in_every_experiment(lambda one: replace(one, weight_decay=Constant(0.0))),
        ("oracle", "norm law", "toy oracle", INITIAL_SCALE, EXPONENTIAL, TOY),
    ),
    Sabotage(
        "decay without learning rate",
        "Weights shrink by 1 − λ a step instead of 1 − ηλ.",
        in_every_step(decay_without_rate),
        ("oracle", "norm law", INITIAL_SCALE, EXPONENTIAL),
    ),
    Sabotage(
        "decay twice",
        "Weights decay with the gradient and once more before it.",
        in_every_step(decay_twice),
        ("oracle", "norm law", EXPONENTIAL),
    ),
    Sabotage(
        "schedules late",
        "Learning rate and weight decay change a step late.",
        in_every_experiment(late_schedules),
        ("oracle", EXPONENTIAL),
    ),
    Sabotage(
        "schedules swapped",
        "η and λ change places.",
        in_every_experiment(swapped_schedules),
        ("oracle", "norm law", "toy oracle", INITIAL_SCALE, EXPONENTIAL),
    ),
    Sabotage(
        "first schedule for all",
        "All experiments of a batch get the learning rate of the first.",
        in_every_batch(lambda slices: [replace(one, learning_rate=slices[0].learning_rate) for one in slices]),
        ("alone or in company", INITIAL_SCALE, EXPONENTIAL),
    ),
    Sabotage(
        "experiments mixed up",
        "Experiments trained as one batch get each other's results.",
        in_every_batch(lambda slices: slices[::-1]),
        ("alone or in company", INITIAL_SCALE, EXPONENTIAL, TOY),
    ),
    Sabotage(
        "initial scale ignored",
        "Every net starts at scale 1.",
        in_every_experiment(lambda one: replace(one, initial_scale=1.0)),
        ("oracle", "toy oracle", INITIAL_SCALE, TOY),
    ),
    Sabotage(
        "initial velocity ignored",
        "Momentum starts at rest.",
        in_every_experiment(lambda one: replace(one, initial_velocity=0.0)),
        ("oracle", EXPONENTIAL),
    ),
    Sabotage(
        "loss averaged over replicas",
        "Every gradient is divided by the number of replicas.",
        averaged_loss,
        ("oracle", "alone or in company", "partners", "in parts"),
    ),
    Sabotage(
        "gradient clipped",
        "Gradients are cut to the norm 0.1.",
        in_every_step(clipped),
        ("oracle", "norm law", INITIAL_SCALE, EXPONENTIAL),
    ),
    Sabotage(
        "weights rounded",
        "Weights are rounded to bfloat16 after each step.",
        in_every_step(rounded),
        ("oracle", "norm law", INITIAL_SCALE, EXPONENTIAL),
    ),
    Sabotage(
        "learning rate in the buffer",
        "η multiplies the momentum buffer when it is filled, not when it is used.",
        in_every_step(rate_in_the_buffer),
        ("oracle", EXPONENTIAL),
    ),
    Sabotage(
        "Nesterov", "Nesterov's momentum instead of the plain one.", in_every_step(nesterov), ("oracle", EXPONENTIAL)
    ),
    Sabotage(
        "large epsilon",
        "ε = 0.1 in every batch normalisation.",
        large_eps,
        ("oracle", "norm law", "rescaling", "changed weights", SCALE_INVARIANCE, INITIAL_SCALE, EXPONENTIAL),
    ),
    Sabotage(
        "evaluation mode",
        "Training normalises by statistics fixed at the first step.",
        before_every_step(evaluation_mode),
        ("oracle", "norm law", EXPONENTIAL),
    ),
    Sabotage(
        "affine normalisation",
        "A scale after the normalisations is trained too.",
        before_every_step(moving_scale),
        ("oracle", INITIAL_SCALE, EXPONENTIAL),
    ),
    Sabotage(
        "head trained",
        "The frozen head is trained beside the weights.",
        before_every_step(moving_head),
        ("oracle", "partners", INITIAL_SCALE, EXPONENTIAL),
    ),
    Sabotage(
        "head among the weights",
        "The head counts as one of the trainable weights.",
        head_among_the_weights,
        ("oracle", "norm law", "rescaling", "partners", SCALE_INVARIANCE, INITIAL_SCALE, EXPONENTIAL),
    ),
    Sabotage(
        "streams shared",
        "Replicas 0 and 1, 2 and 3, … share all random numbers.",
        shared_streams,
        ("independence", "reshuffling", "partners"),
    ),
    Sabotage("head shared", "All replicas have the head of replica 0.", shared_head, ("independence",)),
    Sabotage(
        "batches shared",
        "All replicas see the batches of the first.",
        in_batch_order(lambda own, order, step: np.repeat(own(order, step)[:1], len(order.replicas), axis=0)),
        ("oracle", "alone or in company", "independence", "reshuffling", "partners"),
    ),
    Sabotage(
        "crops shared",
        "The images of all replicas are cropped and flipped as those of the first.",
        shared_crops,
        ("independence",),
    ),
    Sabotage(
        "batches by position",
        "Which batches a replica sees depends on its position in the batch of replicas.",
        lambda patch: patch.setattr(sampling, "BatchOrder", PositionOrder),
        ("oracle", "alone or in company", "partners", INITIAL_SCALE, EXPONENTIAL),
    ),
    Sabotage(
        "never reshuffled",
        "All epochs have the order of the first.",
        in_batch_order(lambda own, order, step: own(order, step % order.steps_per_epoch)),
        ("reshuffling",),
    ),
    Sabotage(
        "labels changed",
        "One training label in a hundred is another between the source and what is trained on.",
        changed_labels,
        ("data as trained on",),
    ),
    Sabotage(
        "scaled by the test half",
        "Images are standardised by the mean and deviation of the test half.",
        lambda patch: patch.setattr(data_module, "_prepared", scaled_by_the_test_half(data_module._prepared)),
        ("data as trained on",),
    ),
    Sabotage(
        "snapshots late",
        "States are recorded after the step instead of before it.",
        late_snapshots,
        ("norm law", "partners"),
    ),
    Sabotage(
        "stale statistics",
        "Test examples are normalised by the statistics of the first evaluation.",
        in_evaluation(statistics_of_the_first),
        ("oracle", "changed weights"),
    ),
    Sabotage(
        "statistics not measured again",
        "Weights changed after training, such as their average, keep the old statistics.",
        in_evaluation(statistics_of_the_moment),
        ("changed weights",),
    ),
    Sabotage(
        "statistics of the test set",
        "Test examples are normalised by their own statistics.",
        statistics_of_the_test_set,
        ("oracle", "changed weights", "partners"),
    ),
    Sabotage("partners part late", "Partners share one batch too many.", parting_late, ("partners",)),
    Sabotage(
        "partners born apart", "Partners that part later start from weights of their own.", born_apart, ("partners",)
    ),
    Sabotage(
        "average of strangers",
        "A replica's weights are averaged with those of another's partner.",
        average_of_strangers,
        ("partners",),
    ),
    Sabotage(
        "parts out of order",
        "Replicas computed some at a time get each other's gradients.",
        parts_out_of_order,
        ("in parts",),
    ),
    Sabotage(
        "batches of the first part",
        "Replicas computed some at a time all see the batches of the first.",
        batches_of_the_first_part,
        ("in parts",),
    ),
    Sabotage(
        "toy without logarithm",
        "The toy iterates x and y in plain float64.",
        lambda patch: patch.setattr(toy, "toy_step", step_in_x_and_y),
        ("toy oracle", "toy return"),
    ),
    Sabotage(
        "toy decays afterwards",
        "The toy's weight decay shrinks the step along the gradient, too.",
        decay_after_the_step,
        ("toy oracle",),
    ),
)
