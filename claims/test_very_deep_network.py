"""A hundred layers of batch normalisation explode at initialisation, and do not come to equilibrium.

Every batch normalisation makes the gradient larger on its way down: for wide layers and large batches its square grows
by π/(π − 1) = 1.467 a layer at random initial weights (Yang et al. 2019, review 1's reference), so by some 10¹⁶ over a
hundred layers. Review 1 (question 2) asks whether the paper's experiments would hold in such a net.

There is a hope that they do. Each layer is scale-invariant by itself, so each has a norm of its own, and weight decay
brings each to where a step turns it by √(2λₑ), however large its gradient is: explosion would show in norms alone. The
first step moves the lower layers by many orders of magnitude more than their norm; to shrink back takes them
ln(‖w‖₁/‖w*‖)/λₑ steps, less than 10/λₑ.

It is not so, and we state what is. When the lower layers come back, the gradient of a net that is a hundred random
layers deep has no second moment to come to rest at: now and then a batch has a gradient larger by orders of magnitude,
the norm is thrown back, and the weights stand still again for some 1/λₑ steps. We count the steps from 10/λₑ to 20/λₑ
that turn the weights by at least half of √(2λₑ). At equilibrium all do, as in the control of three layers; here few do,
and the net stays at chance. λₑ = 0.1 makes 20/λₑ steps few; the course was the same at 0.05, over 40/λₑ, and at 0.001,
over 14/λₑ. The paper has no such net; by its theory 10/λₑ are enough, whatever λₑ is, and full has 0.01.

The growth of the gradient is taken from the first step, which without weight decay is η times the gradient, at a batch
of 256 digits: batches of 32 have 1.54. It is a line through the logarithms of all layers but the first, which sees
pixels.
"""

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

import ilr

DEPTH = 100


@dataclass(frozen=True)
class Regime:
    """What is trained at one scale."""

    width: int
    intrinsic: float
    trained: dict[str, Any] = field(default_factory=dict)
    """Data and what goes with them, where they are not the scale's standard."""


REGIMES = {
    "tiny": Regime(32, intrinsic=0.1),
    "reduced": Regime(64, intrinsic=0.1),
    "full": Regime(128, intrinsic=0.01, trained={"augmentation": None}),
}
LEARNING_RATE = 0.01
"""Of no account but for the height of the first jump: λₑ is set by the weight decay."""
LARGE_BATCH = 256
INITIAL, TRAINED = "first step", "training"
GROWTH = ilr.Prediction(
    quantity="growth of the squared gradient from a layer to the one below, at initialisation",
    rule="equivalence",
    expected=math.pi / (math.pi - 1),
    margin=0.05 * math.pi / (math.pi - 1),
    reason="5%: the theory is for infinite width and batch; without explosion it is 1.",
)
JUMP = ilr.Prediction(
    quantity="decades by which the first step lengthens the weights",
    rule="at_least",
    expected=4.0,
    margin=0.0,
    reason=(
        "The gradient of the first layer is 1.467^(99/2), eight decades, times the last one's; four are left to the "
        "learning rate and to the norm at the start. Without explosion none is gained."
    ),
)
SETTLED = ilr.Prediction(
    quantity="share of the steps from 10/λₑ to 20/λₑ that turn the weights by at least √(2λₑ)/2",
    rule="at_most",
    expected=0.5,
    margin=0.0,
    reason="All at equilibrium, none where the weights stand still: half-way.",
)
ACCURACY = ilr.Prediction(
    quantity="test accuracy at 20/λₑ",
    rule="at_most",
    expected=0.2,
    margin=0.0,
    reason="Twice that of chance among ten classes.",
)
KEEPS = {"net": "it is about the depth of its own"}
CLAIM = ilr.Claim(
    id="very-deep-network",
    title="A hundred layers of batch norm explode at initialisation and reach no equilibrium",
    source="review 1, question 2; Yang et al. 2019",
    statement=(
        "In a batch-normalised net of 100 layers the squared gradient grows by π/(π − 1) a layer at initialisation. "
        "The first step lengthens the weights by orders of magnitude, and after 10/λₑ steps, by which theory has them "
        "back at equilibrium, they still stand still most of the time and the net is at chance."
    ),
    predictions=(GROWTH, JUMP, SETTLED, ACCURACY),
    controls=(
        ilr.Control("no-normalisation", "Batch normalisation: the gradient does not grow, the first step is small."),
        ilr.Control("three-layers", "The depth: three layers start without a jump, settle, and learn."),
    ),
    replicas=ilr.Replicas(tiny=(8, 16, 32), reduced=(8, 16, 32), full=(8, 16, 32)),
    question="Does a net of a hundred layers of batch norm explode at initialisation and reach no equilibrium?",
    differs=ilr.Differs(
        tiny=(
            "measuring what review 1 asks for, on an MLP of width 32 and digits; λₑ = 0.1, 250 times that of the "
            "authors' later defaults, for 20/λₑ steps."
        ),
        reduced=(
            "measuring what review 1 asks for, on an MLP of width 64 and Fashion-MNIST; λₑ = 0.1, 250 times that of "
            "the authors' later defaults, for 20/λₑ steps."
        ),
        full=(
            "measuring what review 1 asks for, on an MLP of width 128; λₑ = 0.01, 25 times that of the authors' later "
            "defaults, for 20/λₑ steps."
        ),
    ),
)


def experiments(setting: ilr.Setting) -> ilr.Experiments:
    regime = REGIMES[setting.scale]
    unit = round(1 / regime.intrinsic)
    trained = setting.experiment(
        net=ilr.MLP((regime.width,) * DEPTH),
        learning_rate=LEARNING_RATE,
        weight_decay=regime.intrinsic / LEARNING_RATE,
        steps=20 * unit,
        observe=(
            ilr.Observe("weight_norm", (0, *ilr.every(unit // 10, 20 * unit, start=1))),
            ilr.Observe("step_angle", range(10 * unit, 20 * unit)),
            ilr.Observe("test_accuracy", (20 * unit,)),
        ),
        **regime.trained,
    )
    first = replace(
        trained,
        batch_size=LARGE_BATCH,
        weight_decay=0.0,
        steps=1,
        observe=(ilr.Observe("weights", (0, 1)),),
    )
    return {INITIAL: first, TRAINED: trained}


def judge(recordings: ilr.Recordings) -> ilr.Measurements:
    gradients = squared_gradients(recordings[INITIAL])
    trained = recordings[TRAINED]
    yield GROWTH, growth(gradients)
    norm = trained["weight_norm"].astype(np.float64)
    yield JUMP, np.log10(norm[:, 1] / norm[:, 0])
    yield SETTLED, (relative_angles(trained) > 0.5).mean(axis=1)
    yield ACCURACY, trained.final("test_accuracy")


def squared_gradients(recording: ilr.Recording) -> ilr.Array:
    """‖∇L‖² of each layer but the first, from what the first step of η∇L changed: [replica, layer]."""
    before, after = recording["weights"].astype(np.float64).swapaxes(0, 1)  # each [replica, weight]
    gradient = (before - after) / recording.experiment.learning_rates()[0]
    net = recording.experiment.net
    assert isinstance(net, ilr.MLP)
    width, depth = net.widths[0], len(net.widths)
    # All layers but the first have width² weights.
    upper = gradient[:, -(depth - 1) * width**2 :].reshape(len(gradient), depth - 1, -1)
    return np.asarray((upper**2).sum(axis=2))


def growth(squared: ilr.Array) -> ilr.Array:
    """The factor by which ‖∇L‖² [replica, layer] grows from layer to layer, downwards: [replica]."""
    # Where there is no gradient left to see, there is a smallest one in its place.
    logarithms = np.log(np.maximum(squared, np.finfo(np.float64).tiny))
    slope, _ = np.polyfit(np.arange(squared.shape[1]), logarithms.T, deg=1)
    return np.asarray(np.exp(-slope))


def relative_angles(recording: ilr.Recording) -> ilr.Array:
    """Angles of steps, in units of that at equilibrium: [replica, step]."""
    experiment = recording.experiment
    law = ilr.theory.equilibrium_step_angle(experiment.intrinsic_learning_rates()[0], experiment.momentum)
    return np.asarray(recording["step_angle"].astype(np.float64) / law)


def figure(recordings: ilr.Recordings, controls: ilr.ControlRecordings) -> ilr.Figure:
    drawn, (gradient, norm, turned) = ilr.new_figure(
        "Left: the squared gradient of each layer at initialisation, by that of the last one, and the line of π/(π − "
        "1) a layer. Middle: the norm over training. Right: angles of the steps from 10/λₑ to 20/λₑ in units of "
        "√(2λₑ), sorted; the thin line is half of it. Median and middle four fifths of the replicas, controls in grey.",
        panels=3,
    )
    layers = np.arange(2, DEPTH + 1)
    squared = squared_gradients(recordings[INITIAL])
    relative = np.log10(np.maximum(squared / squared[:, -1:], 1e-30))
    ilr.draw_band(gradient, layers, relative, "batch norm", middle=np.median)
    decades = np.log10(GROWTH.expected) * (DEPTH - layers)
    gradient.plot(layers, decades, color="black", linewidth=0.8, label="π/(π − 1) a layer")
    without = squared_gradients(controls["no-normalisation"][INITIAL])
    course = np.log10(np.maximum(without / np.maximum(without[:, -1:], 1e-300), 1e-30))
    gradient.plot(layers, np.median(course, axis=0), label="no normalisation", **ilr.as_control())
    gradient.set(title="decades of ‖∇L‖²", xlabel="layer")
    gradient.legend()

    shown = {"100 layers": recordings[TRAINED], "3 layers": controls["three-layers"][TRAINED]}
    for number, (label, run) in enumerate(shown.items()):
        style = ilr.as_control() if number else {}
        intrinsic = run.experiment.intrinsic_learning_rates()[0]
        lengths = np.log10(run["weight_norm"].astype(np.float64))
        ilr.draw_band(norm, intrinsic * run.steps("weight_norm"), lengths, label, middle=np.median, **style)
        angles = np.sort(relative_angles(run), axis=1)
        share = np.linspace(0.0, 1.0, angles.shape[1])
        ilr.draw_band(turned, share, angles, label, middle=np.median, **style)
    norm.set(title="decades of ‖w‖", xlabel="λₑ × step")
    turned.axhline(0.5, color="black", linewidth=0.6)
    turned.set(title="angle of a step / √(2λₑ)", xlabel="share of the steps with less", ylim=(0, 2))
    for axes in (norm, turned):
        axes.legend()
    return drawn


def control_no_normalisation(setting: ilr.Setting) -> ilr.Experiments:
    return ilr.changed(experiments(setting), norm=ilr.NoNorm())


def control_three_layers(setting: ilr.Setting) -> ilr.Experiments:
    width = REGIMES[setting.scale].width
    return ilr.changed(experiments(setting), net=ilr.MLP((width,) * 3))


def test_very_deep_network(trial: ilr.JudgedClaim) -> None:
    trial.must_reproduce()
