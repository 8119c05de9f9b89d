"""Schedules: their values, and torch's own schedulers where they have the same formula."""

import numpy as np
import pytest
import torch

from ilr.experiments.schedules import Constant, Cosine, Exponential, Phases, Scaled, Schedule, StepDecay, WarmupLinear

STEPS = 40


def torch_values(make: object) -> np.ndarray:
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.3)
    scheduler = make(optimiser)  # type: ignore[operator]
    values = []
    for _ in range(STEPS):
        values.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        scheduler.step()
    return np.array(values)


@pytest.mark.parametrize(
    ("schedule", "scheduler"),
    [
        (Constant(0.3), lambda o: torch.optim.lr_scheduler.ConstantLR(o, factor=1.0)),
        (StepDecay(0.3, 0.1, (30, 10)), lambda o: torch.optim.lr_scheduler.MultiStepLR(o, [10, 30], gamma=0.1)),
        (Cosine(0.3, STEPS, 0.01), lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, STEPS, eta_min=0.01)),
        (Exponential(0.3, 1.02), lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 1.02)),
    ],
)
def test_a_schedule_equals_torchs(schedule: Schedule, scheduler: object) -> None:
    np.testing.assert_allclose(schedule.values(STEPS), torch_values(scheduler), rtol=1e-12)


def test_warm_up_rises_to_its_peak_and_falls_to_zero() -> None:
    np.testing.assert_allclose(WarmupLinear(1.0, 4, 8).values(10), [0.25, 0.5, 0.75, 1, 1, 0.75, 0.5, 0.25, 0, 0])
    np.testing.assert_allclose(WarmupLinear(2.0, 0, 4).values(5), [2, 1.5, 1, 0.5, 0])


def test_a_warm_up_longer_than_the_run_is_refused() -> None:
    with pytest.raises(ValueError, match="warm-up of 9 steps must end before step 9"):
        WarmupLinear(1.0, 9, 9)


def test_a_cosine_stays_at_its_end() -> None:
    assert (Cosine(1.0, 5, 0.2).values(9)[5:] == 0.2).all()


def test_a_scaled_schedule_is_its_values_times_the_factor() -> None:
    decaying = StepDecay(0.3, 0.1, (10, 30))
    np.testing.assert_array_equal(Scaled(decaying, 0.5).values(STEPS), 0.5 * decaying.values(STEPS))


def test_phases_start_anew() -> None:
    phases = Phases((Exponential(1.0, 2.0), Constant(7.0), Exponential(1.0, 3.0)), (3, 2))
    np.testing.assert_allclose(phases.values(8), [1, 2, 4, 7, 7, 1, 3, 9])


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 4, 5, 9])
def test_phases_cut_short_are_a_beginning(steps: int) -> None:
    phases = Phases((Exponential(1.0, 2.0), Constant(7.0), Exponential(1.0, 3.0)), (3, 2))
    np.testing.assert_array_equal(phases.values(steps), phases.values(9)[:steps])


def test_phases_without_their_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="2 phases need 1 lengths, not 2"):
        Phases((Constant(1.0), Constant(2.0)), (3, 4))


@pytest.mark.parametrize("schedule", [Constant(1), Cosine(1, 9), StepDecay(1, 0.1, (2,)), WarmupLinear(1, 2, 9)])
def test_every_schedule_gives_one_float64_per_step(schedule: Schedule) -> None:
    assert schedule.values(7).shape == (7,)
    assert schedule.values(7).dtype == np.float64
    assert isinstance(schedule, Schedule)


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        (Constant(0.1 + 0.2), "0.3"),
        (StepDecay(0.5, 0.1, (400,)), "0.5, ÷10 at step 400"),
        (StepDecay(0.5, 0.25, (400, 100, 200)), "0.5, ÷4 at steps 100, 200 and 400"),
        (StepDecay(0.1, 5.0, (50, 150)), "0.1, ×5 at steps 50 and 150"),
        (StepDecay(0.1, 0.0, (50,)), "0.1, ×0 at step 50"),
        (StepDecay(0.1, 1.0, (50,)), "0.1"),
        (StepDecay(0.1, 0.5, ()), "0.1"),
        (Cosine(0.2, 200), "cosine from 0.2 to 0 at step 200"),
        (WarmupLinear(0.4, 100, 1000), "up to 0.4 within 100 steps, then linearly to 0 at step 1000"),
        (Exponential(0.1, 1.0000125), "0.1 · 1.0000125^t"),
        (Scaled(StepDecay(0.1, 0.5, (7,)), 0.1), "0.1 · (0.1, ÷2 at step 7)"),
        (Phases((0.5, Cosine(0.05, 60)), (400,)), "0.5 for 400 steps; then cosine from 0.05 to 0 at step 60"),
    ],
)
def test_a_schedule_in_words(schedule: Schedule, words: str) -> None:
    assert str(schedule) == words
