"""Experiments: what they refuse, and their slices."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from ilr.experiments.architectures import CNN, MLP, BottleneckResNet, PreResNet, Toy
from ilr.experiments.experiment import CropFlip, Data, Experiment, Observe, every
from ilr.experiments.norms import BatchNorm, GroupNorm, LayerNorm, NoNorm
from ilr.experiments.schedules import Cosine, Phases, StepDecay


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"replicas": 0}, "replicas ≥ 1"),
        ({"seed": -1}, "Experiment: seed=-1 must be 0 or more"),
        ({"batch_size": 0}, "Experiment: batch_size=0 must be 1 or more, or None"),
        ({"momentum": -0.1}, "Experiment: momentum=-0.1 must be 0 or more and below 1"),
        ({"momentum": 1}, "Experiment: momentum=1 must be 0 or more and below 1"),
        ({"initial_scale": 0.0}, "Experiment: initial_scale=0.0 must be above 0"),
        ({"steps": -1}, "steps ≥ 0"),
        ({"data": None}, "every net needs some"),
        ({"net": Toy(), "norm": NoNorm()}, "toy loss takes no data"),
        ({"batch_size": None, "augmentation": CropFlip()}, "the full batch takes no augmentation"),
        ({"observe": (Observe("weight_norm", (0,)), Observe("weight_norm", (1,)))}, "observed twice"),
        ({"observe": (Observe("weight_norm", (7,)),)}, "'weight_norm' can be observed at steps 0 to 6, not 7 to 7"),
        ({"observe": (Observe("batch_loss", (6,)),)}, "'batch_loss' can be observed at steps 0 to 5"),
        ({"observe": (Observe("test_loss", (-1, 2)),)}, "not -1 to 2"),
    ],
    ids=str,
)
def test_contradictory_fields_are_refused(
    small_experiment: Experiment, change: dict[str, object], complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        replace(small_experiment, **change)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("weight", (0,)), "nothing called 'weight' can be observed; choose from adjacent_average_test_accuracy"),
        (("weights", ()), "observed at no step"),
        (("loss_rescaling", (0,)), "factors belong to the rescaling quantities"),
        (("weights", (0,), (2.0,)), "factors belong to the rescaling quantities"),
    ],
)
def test_what_cannot_be_observed_is_refused(arguments: tuple[object, ...], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Observe(*arguments)  # type: ignore[arg-type]


def test_a_negative_padding_is_refused() -> None:
    with pytest.raises(ValueError, match="padding must be 0 or more, not -1"):
        CropFlip(padding=-1)


def test_a_slice_keeps_the_replicas_ids(small_experiment: Experiment) -> None:
    part = replace(small_experiment, replicas=20, first_replica=40).slice(48, 8)
    assert part.replica_ids == range(48, 56)


def test_every_includes_the_end_where_it_is_reached() -> None:
    assert list(every(3, 9)) == [0, 3, 6, 9]
    assert list(every(4, 9, start=1)) == [1, 5, 9]


def test_a_description_names_what_matters(small_experiment: Experiment) -> None:
    text = str(replace(small_experiment, momentum=0.9, batch_size=None))
    assert text == "MLP 8-8, batch norm, digits, 64 examples, full batch, momentum 0.9"
    text = str(replace(small_experiment, augmentation=CropFlip(2)))
    assert text == "MLP 8-8, batch norm, digits, 64 examples, batch 16, crop by 2 and flip"


@pytest.mark.parametrize(
    ("build", "complaint"),
    [
        (lambda: Data("digits", train=0), "Data: train=0 must be 1 or more"),
        (lambda: Data("digits", side=-8), "Data: side=-8 must be 1 or more"),
        (lambda: Observe("weight_norm", (20, 0)), "'weight_norm' is observed at steps that do not ascend"),
        (lambda: Observe("weight_norm", [5, 5]), "'weight_norm' is observed at steps that do not ascend"),
        (lambda: Observe("weight_norm", range(9, 0, -1)), "'weight_norm' is observed at steps that do not ascend"),
        (lambda: MLP(()), r"MLP: widths=\(\) must be numbers of 1 or more"),
        (lambda: CNN((8, 0)), r"CNN: channels=\(8, 0\) must be numbers of 1 or more"),
        (lambda: PreResNet(0), "PreResNet: blocks_per_stage=0 must be numbers of 1 or more"),
        (lambda: BottleneckResNet((), ()), "BottleneckResNet: blocks="),
        (lambda: BatchNorm(-1e-5), "BatchNorm: eps=-1e-05 must be 0 or more"),
        (lambda: GroupNorm(2, -1.0), "GroupNorm: eps=-1.0 must be 0 or more"),
        (lambda: LayerNorm(-1), "LayerNorm: eps=-1 must be 0 or more"),
        (lambda: Cosine(0.1, 0), "Cosine: until=0 must be 1 or more"),
        (lambda: StepDecay(0.1, 0.5, (-1, 3)), r"StepDecay: at=\(-1, 3\) must be steps"),
        (lambda: Phases((0.1, 0.2), (-1,)), r"Phases: lengths=\(-1,\) must be 0 or more"),
    ],
)
def test_a_number_that_training_can_do_nothing_with_is_refused(build: Callable[[], object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        build()
