"""Averaging the weights of two moments of one run gives a better net than they are; averaging two runs gives a bad one.

If SGD had mixed in parameter space, any two nets would be two draws from one distribution, whichever run they come
from, and their average would be as good, or as bad. The blog's figure 3 takes the success of stochastic weight
averaging (Izmailov et al. 2018) as evidence against it: on the trajectory of a ResNet on CIFAR-10 the average of two
epochs beats both, still so in runs ten times longer than usual, but not across initialisations. Learning rate and
distance of the epochs are not known.

We average seven snapshots from the second half of a run of usual length, some 10/λₑ steps, and of one ten times longer,
with ten times the distance between the snapshots: every two in a row, then all seven. Each net is given normalisation
statistics of its own. A gain is the average's test accuracy less the mean accuracy of what was averaged. The better of
two ends would be no fair mark: that it is the better one is partly luck on the images it is scored on, some 1% of them,
which the average does not have. Any gain counts, as the claim is that averaging helps. λₑ = 0.02 on the digits, and
0.04 at reduced, are so large that there are errors to remove.

At full the usual length is 51 epochs of the authors' later defaults, 8/λₑ, and ten times that 80/λₑ, in place of 160
and 1,600 epochs, 25/λₑ and 250/λₑ (--literal): functions are mixed after a few 1/λₑ, and weights would be, if they
settled like a process around a minimum, after 5/λₑ. The long run is that of test_weight_distance_grows.py, trained once
for both.

In the control two partners of different initialisations are averaged, at the same moments. They share the head, so that
the labels sit at the same features; averages of nets with different heads would be worse still. At full those of usual
length stand for both lengths.
"""

from dataclasses import dataclass, replace

import numpy as np
from test_weight_distance_grows import experiments as experiments_on_distance

import ilr


@dataclass(frozen=True)
class Regime:
    """What differs between the scales."""

    learning_rate: float
    weight_decay: float
    steps: int
    """The usual length of training, whole epochs."""


REGIMES = {
    "tiny": Regime(0.5, 0.04, steps=12 * 40),
    "reduced": Regime(0.5, 0.08, steps=4 * 156),
    "full": Regime(0.8, 5e-4, steps=51 * 390),
    "literal": Regime(0.8, 5e-4, steps=160 * 390),
}
USUAL, LONG = "usual length", "ten times as long"
LENGTHS = {USUAL: 1, LONG: 10}
SNAPSHOTS = 7

TWO = ilr.Prediction(
    quantity="{}: gain of test accuracy by averaging two snapshots in a row",
    rule="at_least",
    expected=0.0,
    margin=0.0,
    reason="The claim is that it helps, so any gain over the mean of the two agrees with it, and any loss does not.",
)
ALL = replace(TWO, quantity="{}: gain of test accuracy by averaging all snapshots")
CLAIM = ilr.Claim(
    id="weight-averaging-helps-within-a-run",
    title="Averaging weights helps within a run, not across initialisations",
    source="blog post, figure 3 left",
    statement=(
        "The average of the weights at two or more moments of one run has a higher test accuracy than the nets at "
        "these moments have on average, also in runs ten times longer than usual; across initialisations averaging "
        "destroys the net."
    ),
    predictions=ilr.for_each(LENGTHS, TWO, ALL),
    controls=(
        ilr.Control(
            "across-initialisations",
            "The common trajectory: the average is that of two nets trained from different initialisations.",
        ),
    ),
    replicas=ilr.Replicas(tiny=(8, 16, 32, 64), reduced=(8, 16, 32, 64), full=(8, 16, 32, 64)),
    question="Does averaging weights help within a run, and not across initialisations?",
    differs=ilr.Differs(
        tiny=(
            "net and data, an MLP on digits; λₑ = 0.02, 50 times that of the authors' later defaults; and in the "
            "snapshots, seven of the second half of a run: which epochs are averaged there is not known."
        ),
        reduced=(
            "net and data, a CNN on Fashion-MNIST; λₑ = 0.04, 100 times that of the authors' later defaults; and in "
            "the snapshots, seven of the second half of a run: which epochs are averaged there is not known."
        ),
        full=(
            "constant rates, the authors' later defaults; in 51 epochs as the usual length, 8/λₑ, in place of 160; and "
            "in the snapshots, seven of the second half of a run: which epochs are averaged there is not known."
        ),
        literal=(
            "constant rates, the authors' later defaults; and in the snapshots, seven of the second half of a run: "
            "which epochs are averaged there is not known."
        ),
    ),
)


def experiments(setting: ilr.Setting) -> ilr.Experiments:
    regime = REGIMES[setting.regime]
    planned = {}
    for name, factor in LENGTHS.items():
        steps = factor * regime.steps
        # At the beginning, and at each sixth, of the second half.
        at = tuple(steps * (SNAPSHOTS - 1 + count) // (2 * (SNAPSHOTS - 1)) for count in range(SNAPSHOTS))
        planned[name] = setting.experiment(
            learning_rate=regime.learning_rate,
            weight_decay=regime.weight_decay,
            steps=steps,
            observe=ilr.observe_all("test_accuracy", "average_test_accuracy", "adjacent_average_test_accuracy", at=at),
        )
    if setting.regime == "full":
        # Of the same rates and length, and observed at the same steps.
        planned[LONG] = experiments_on_distance(setting)["run"]
    return planned


def judge(recordings: ilr.Recordings) -> ilr.Measurements:
    for name, recording in recordings.items():
        if recording.experiment.partners:
            gains_of_two = gains_of_all = gains_across(recording)
        else:
            gains_of_two, gains_of_all = gains_within(recording)
        yield TWO.of(name), gains_of_two
        yield ALL.of(name), gains_of_all


def gains_within(recording: ilr.Recording) -> tuple[ilr.Array, ilr.Array]:
    """Test accuracy of an average less the mean of what is averaged: of two snapshots in a row, in the mean over all
    such, and of all snapshots; two arrays [replica].
    """
    accuracy = recording["test_accuracy"]  # [replica, snapshot]
    ends = (accuracy[:, :-1] + accuracy[:, 1:]) / 2
    of_two = recording["adjacent_average_test_accuracy"][:, 1:] - ends
    of_all = recording.final("average_test_accuracy") - accuracy.mean(axis=1)
    return np.asarray(of_two.mean(axis=1)), np.asarray(of_all)


def gains_across(recording: ilr.Recording) -> ilr.Array:
    """Test accuracy of two partners' average less the mean of theirs, in the mean over the snapshots: [pair]."""
    accuracy = recording["test_accuracy"]  # [replica, snapshot]
    partners = (accuracy[::2] + accuracy[1::2]) / 2
    gains = recording["partner_average_test_accuracy"][::2] - partners
    return np.asarray(gains.mean(axis=1))


def figure(recordings: ilr.Recordings, controls: ilr.ControlRecordings) -> ilr.Figure:
    drawn, (*panels, gains) = ilr.new_figure(
        "First and second: test accuracy of a run's snapshots and of averages of their weights, as means over "
        "replicas with the middle four fifths as bands; in the control, grey, two initialisations are averaged. "
        "Third: what the claim is about, the test accuracy of an average less the mean of what is averaged, a dot a "
        "replica; a diamond, the mean with two standard errors.",
        panels=len(LENGTHS) + 1,
    )
    for axes, (name, recording) in zip(panels, recordings.items(), strict=True):
        across = controls["across-initialisations"][name]
        curves = {
            "average of one run's snapshots so far": recording["average_test_accuracy"],
            "average of two in a row": recording["adjacent_average_test_accuracy"],
            "one snapshot": recording["test_accuracy"],
        }
        for label, curve in curves.items():
            ilr.draw_band(axes, recording.steps("test_accuracy"), curve, label, markevery=1)
        average = across["partner_average_test_accuracy"]
        label = "average of two initialisations (control)"
        ilr.draw_band(axes, across.steps("test_accuracy"), average, label, markevery=1, **ilr.as_control())
        axes.set(title=f"test accuracy, {name}", xlabel="step")
    # Below the lowest curve: it is the only place that is free whatever the curves do.
    bottom, top = panels[0].get_ylim()
    panels[0].set_ylim(bottom - 0.6 * (top - bottom), top)
    panels[0].legend(loc="lower left")
    groups: dict[str, ilr.Array] = {}
    for name, factor in LENGTHS.items():
        of_two, of_all = gains_within(recordings[name])
        groups |= {f"two,\n{factor} ×": of_two, f"all {SNAPSHOTS},\n{factor} ×": of_all}
    ilr.draw_groups(gains, groups)
    gains.axhline(0.0, color="black", linewidth=0.6)
    gains.set(title="gain by averaging", xlabel="what is averaged, and the length of the run")
    return drawn


def control_across_initialisations(setting: ilr.Setting) -> ilr.Experiments:
    planned = experiments(setting)
    if setting.regime == "full":
        planned[LONG] = planned[USUAL]
    return {name: across_initialisations(one) for name, one in planned.items()}


def across_initialisations(run: ilr.Experiment) -> ilr.Experiment:
    """As many nets as the run has, or one more, averaged with their partners where the run has its snapshots."""
    return replace(
        run,
        replicas=run.replicas + run.replicas % 2,
        partners=ilr.Partners(),
        observe=ilr.observe_all("test_accuracy", "partner_average_test_accuracy", at=run.observe[0].at),
    )


def test_weight_averaging_helps_within_a_run(trial: ilr.JudgedClaim) -> None:
    trial.must_reproduce()
