"""Our tests and claims can fail: each sabotage of the training path is caught by what `docs/sabotage.md` says, and by
nothing else; and without sabotage nothing is caught.

A detector is a test of ours or a claim of the paper; it raises AssertionError where it notices something. Claims are
trained with few replicas and a few neurons, so that their verdict is INCONCLUSIVE at best: we look at the estimates.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from torch import nn

from ilr.data.augmentation import Draws
from ilr.data.dataset import Dataset
from ilr.data.on_device import Examples
from ilr.data.sampling import BatchOrder
from ilr.experiments.architectures import CNN, MLP, Toy
from ilr.experiments.experiment import CropFlip, Experiment
from ilr.experiments.schedules import StepDecay
from ilr.lab import jobs
from ilr.lab.engines import InProcess
from ilr.lab.scheduler import Lab, TrainingFailedError
from ilr.lab.store import Store
from ilr.nn.architectures import build
from ilr.nn.execution import Formulation
from ilr.nn.norms import BatchStatistics, in_all_training
from ilr.stats.decision import Finding, Verdict
from ilr.training import toy, trainers
from ilr.training.metrics import Networks
from ilr.trials.claim import Setting
from ilr.trials.claim_file import ClaimFile
from ilr.trials.outcome import PlannedExperiments
from ilr.trials.registration import load_module
from ilr.trials.sequential import SequentialTrial
from tests.data import test_as_trained_on
from tests.oracle import plain_net
from tests.sabotage import EXPONENTIAL, INITIAL_SCALE, SABOTAGES, SCALE_INVARIANCE, TOY, Sabotage
from tests.training import test_loop, test_toy
from tests.training.test_loop import BASE, EXACT, NETS

ROOT = Path(__file__).parents[2]

Detector = Callable[[Dataset, Path, int], None]
"""Gets a small data set, an empty folder and a root seed."""


def oracle(dataset: Dataset, _: Path, __: int) -> None:
    """Fused training equals plain torch.nn modules under torch.optim.SGD, with all options switched on."""
    everything = replace(
        BASE,
        momentum=0.9,
        learning_rate=StepDecay(0.4, 0.1, (8, 16)),
        weight_decay=StepDecay(0.1, 0.5, (5,)),
        initial_scale=3.0,
        initial_velocity=-0.3,
        first_replica=5,
    )
    for net in NETS.values():
        test_loop.assert_equals_oracle(replace(everything, net=net), dataset)


def company(dataset: Dataset, _: Path, __: int) -> None:
    """A replica is the same network alone and in a batch with others."""
    test_loop.test_a_replica_is_the_same_alone_and_in_any_chunk("mlp", dataset)


def independence(dataset: Dataset, _: Path, __: int) -> None:
    """No two replicas share their initial weights, their head, their batches or their crops."""
    net = build(BASE, dataset.train_images.shape[1:], dataset.classes)
    keys = [(seed, replica) for seed in (3, 4) for replica in range(4)]
    starts = [net.initial_weights(*key) for key in keys]
    heads = [net.initial_head(*key) for key in keys]
    batches = BatchOrder(keys, len(dataset.train_labels), 8).indices(0)
    crops = Draws(CropFlip(), keys, batch_size=8, steps_per_epoch=3).at(0)
    for draws in (starts, heads, batches, crops):
        assert len({draw.tobytes() for draw in draws}) == len(keys)


def reshuffling(_: Dataset, __: Path, ___: int) -> None:
    """All examples are seen once an epoch, each time in another order."""
    test_loop.test_all_examples_are_seen_once_an_epoch()


def data(_: Dataset, __: Path, ___: int) -> None:
    """Images and labels that are trained on are those of an independent reading of their source, in order and scale."""
    test_as_trained_on.test_digits()


def norm_law(dataset: Dataset, _: Path, __: int) -> None:
    """The norm follows its exact recurrence with the gradient that was measured."""
    test_loop.test_the_norm_follows_the_exact_law_with_the_observed_gradient(dataset)


def rescaling(dataset: Dataset, _: Path, __: int) -> None:
    """Loss, gradient and curvature are scale-invariant with a frozen head and exact normalisation, and only then."""
    test_loop.test_rescaling_tells_an_invariant_net_from_others(dataset)


def changed_weights(dataset: Dataset, _: Path, __: int) -> None:
    """Weights changed after they were evaluated, such as by averaging, get statistics of their own."""
    fused = build(BASE, dataset.train_images.shape[1:], dataset.classes)
    images, test_images = (torch.from_numpy(part).double() for part in (dataset.train_images, dataset.test_images))
    labels, test_labels = (torch.from_numpy(part) for part in (dataset.train_labels, dataset.test_labels))
    starts = torch.from_numpy(np.stack([fused.initial_weights(0, replica) for replica in range(3)]))
    heads = torch.from_numpy(np.stack([fused.initial_head(0, replica) for replica in range(3)]))
    networks = Networks(
        net=fused,
        norm=BASE.norm,
        weight_vectors=starts,
        head=heads,
        learning_rate=torch.ones(3, 1),
        probe_direction=lambda: starts,
        train=Examples(images, labels),
        test=Examples(test_images, test_labels),
    )
    # Whatever is remembered of these weights must not be used for their averages.
    networks.test_loss()
    averages = (starts + starts.roll(1, dims=0)) / 2
    losses = replace(networks, weight_vectors=averages).test_loss()
    for head, average, loss in zip(heads, averages, losses, strict=True):
        net = plain_net(BASE, dataset)
        with torch.no_grad():
            nn.utils.vector_to_parameters(torch.cat([average, head.flatten()]), net.parameters())
            net.train()(images)
            plain = nn.functional.cross_entropy(net.eval()(test_images), test_labels)
        np.testing.assert_allclose(loss, plain, **EXACT)


def partners(dataset: Dataset, _: Path, __: int) -> None:
    """Partners are one network until they part, and never again; they are averaged with each other."""
    test_loop.test_partners_are_one_network_until_they_part(7, dataset)


def in_parts(dataset: Dataset, _: Path, __: int) -> None:
    """Losses and gradients of replicas computed some at a time are those computed all at once."""
    net = build(BASE, dataset.train_images.shape[1:], dataset.classes)
    weights, heads = (
        torch.from_numpy(np.stack([draw(0, replica) for replica in range(5)]))
        for draw in (net.initial_weights, net.initial_head)
    )
    images = torch.from_numpy(dataset.train_images[:20]).double().unflatten(0, (5, 4))
    labels = torch.from_numpy(dataset.train_labels[:20]).unflatten(0, (5, 4))
    given = net, weights, heads, images, labels, BatchStatistics(BASE.norm.eps)
    (losses, gradients), whole = (Formulation(at_once).loss_and_gradients(*given) for at_once in (2, 5))
    np.testing.assert_allclose(losses, whole[0], **EXACT)
    for gradient, all_at_once in zip(gradients, whole[1], strict=True):
        np.testing.assert_allclose(gradient, all_at_once, **EXACT)


def toy_oracle(_: Dataset, __: Path, ___: int) -> None:
    """The toy equals torch.optim.SGD in x and y, and gradient descent in 300 digits."""
    test_toy.test_it_equals_sgd_on_x_and_y(1.5, 0.02)
    test_toy.test_it_keeps_angles_that_float64_cannot()


def toy_return(_: Dataset, __: Path, ___: int) -> None:
    """The toy comes back from an angle below e^−745, the smallest number in float64."""
    log_norm, log_angle = np.log([1.0]), np.log([0.5])
    orbit = []
    for _step in range(2500):
        log_norm, log_angle = toy.toy_step(log_norm, log_angle, np.array([0.1]), np.array([0.01]))
        orbit.append(log_angle.item())
    smallest = int(np.argmin(orbit))
    assert orbit[smallest] < -745
    assert max(orbit[smallest:]) > math.log(0.5)


def claim(name: str, replicas: int, _: Dataset, folder: Path, seed: int) -> None:
    """A claim's estimates lie where its predictions accept them, and those of each of its controls do not."""
    if name == TOY and toy_code() == TOY_CODE:
        # What leaves the toy's code alone cannot show in the toy: this saves a quarter of the time.
        return
    file = file_of(name)
    plan = small(file.plan(Setting("tiny", seed=seed, replicas=replicas)))
    # The store knows nothing of sabotages: each has its own.
    lab = Lab(Store(folder / name), InProcess())
    lab.train(lab.plan(plan.all()))
    for experiment in plan.all():
        # Raises where training crashed: a sabotage that crashes has not been noticed, it is badly written.
        lab.recording(experiment)
    trial = SequentialTrial(file, (plan,))
    trial.look(lab.recording)
    outcome = trial.outcome(lab.recording)
    assert outcome.verdict is not Verdict.ERROR, outcome.message
    assert accepted(outcome.findings)
    for control, judged in outcome.controls.items():
        assert not accepted(judged.findings), control


def accepted(findings: Sequence[Finding]) -> bool:
    regions = [(finding.estimate, *finding.accepted) for finding in findings]
    return all(
        (lower is None or lower <= estimate) and (upper is None or estimate <= upper)
        for estimate, lower, upper in regions
    )


def toy_code() -> tuple[object, ...]:
    return trainers.train_toy, toy.toy_step, toy.generator


TOY_CODE = toy_code()


@cache
def file_of(name: str) -> ClaimFile:
    """The trial of a claim, without its figure."""
    path = ROOT / "claims" / f"test_{name.replace('-', '_')}.py"
    return replace(ClaimFile.of(load_module(path)), figure=lambda *_: Figure())


def small(plan: PlannedExperiments) -> PlannedExperiments:
    """The same plan with nets of a few neurons."""
    shrunk = {MLP: MLP((8,)), CNN: CNN((2, 2)), Toy: Toy()}

    def shrink(group: Mapping[str, Experiment]) -> dict[str, Experiment]:
        return {name: replace(one, net=shrunk[type(one.net)]) for name, one in group.items()}

    return PlannedExperiments(shrink(plan.experiments), {name: shrink(group) for name, group in plan.controls.items()})


TESTS: dict[str, Detector] = {
    "oracle": oracle,
    "alone or in company": company,
    "independence": independence,
    "reshuffling": reshuffling,
    "data as trained on": data,
    "norm law": norm_law,
    "rescaling": rescaling,
    "changed weights": changed_weights,
    "partners": partners,
    "in parts": in_parts,
    "toy oracle": toy_oracle,
    "toy return": toy_return,
}
# The other claims are about averages over many replicas, or take minutes.
CLAIMS: dict[str, Detector] = {
    SCALE_INVARIANCE: partial(claim, SCALE_INVARIANCE, 2),
    INITIAL_SCALE: partial(claim, INITIAL_SCALE, 2),
    EXPONENTIAL: partial(claim, EXPONENTIAL, 2),
    TOY: partial(claim, TOY, 16),
}
DETECTORS = TESTS | CLAIMS


@pytest.fixture(autouse=True)
def one_formulation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replicas stay in one batch, which some sabotages count on, and no time goes into finding a better way."""
    monkeypatch.setattr(jobs, "fastest", lambda _, weights, *__, **___: Formulation(len(weights)))


@pytest.fixture(autouse=True)
def nothing_kept() -> Iterator[None]:
    """What was made with a sabotage is not met by the next test, nor the other way round."""
    in_all_training.cache_clear()
    yield
    in_all_training.cache_clear()


def notices(detector: Detector, dataset: Dataset, folder: Path, seed: int) -> bool:
    try:
        detector(dataset, folder, seed)
    except (AssertionError, TrainingFailedError):
        return True
    return False


@pytest.mark.parametrize("detector", DETECTORS.values(), ids=DETECTORS)
def test_nothing_is_noticed_where_nothing_is_wrong(
    detector: Detector, random_dataset: Dataset, tmp_path: Path, fresh_seed: int
) -> None:
    detector(random_dataset, tmp_path, fresh_seed)


@pytest.mark.parametrize("sabotage", SABOTAGES, ids=lambda sabotage: sabotage.name)
def test_a_sabotage_is_caught_by_what_the_table_says_and_nothing_else(
    sabotage: Sabotage, random_dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh_seed: int
) -> None:
    sabotage.apply(monkeypatch)
    caught = tuple(
        name for name, detector in DETECTORS.items() if notices(detector, random_dataset, tmp_path, fresh_seed)
    )
    assert caught == sabotage.caught_by


def test_every_sabotage_is_caught_and_every_detector_catches() -> None:
    assert all(sabotage.caught_by for sabotage in SABOTAGES)
    assert {name for sabotage in SABOTAGES for name in sabotage.caught_by} == set(DETECTORS)


def test_the_tables_of_the_documentation_are_these() -> None:
    written = (ROOT / "docs" / "sabotage.md").read_text(encoding="utf-8").splitlines()
    tests = [f"| {name} | {detector.__doc__} |" for name, detector in TESTS.items()]
    assert [line for line in written if line.startswith("| ")] == [
        "| test | what it says |",
        *tests,
        "| sabotage | what it breaks | tests that notice | claims that notice |",
        *(row(sabotage) for sabotage in SABOTAGES),
    ]


def row(sabotage: Sabotage) -> str:
    tests = [name for name in sabotage.caught_by if name in TESTS]
    claims = [name for name in sabotage.caught_by if name in CLAIMS]
    cells = (
        sabotage.name,
        sabotage.breaks,
        ", ".join(tests) or "none",
        ", ".join(claims) or "none (needs the tests)",
    )
    return f"| {' | '.join(cells)} |"
