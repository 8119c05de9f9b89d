"""Averaging the weights of two moments of one run gives a better net than either; averaging two runs gives a bad one.

If SGD had mixed in parameter space, any two nets would be two draws from one distribution, whichever run they come
from, and their average would be as good, or as bad. The blog's figure 3 takes the success of stochastic weight
averaging (Izmailov et al. 2018) as evidence against it: on the trajectory of a ResNet on CIFAR-10 the average of two
epochs beats both, still so in runs ten times longer than usual, but not across initialisations. Learning rate and
distance of the epochs are not known.

We average snapshots from the second half of a run of usual length, some 10/λₑ steps, and of one ten times longer, with
ten times the distance between the snapshots: the first two of seven, then all seven. Each net is given normalisation
statistics of its own. A gain is the share of the test errors that the average removes, counted from the better end,
which is more than to beat each on the average: the better of two has luck in it. λₑ = 0.02 on the digits, and 0.04 at
reduced, are so large that there are errors to remove.

In the control the two ends are partners of different initialisations, at the end of their runs. They share the head,
so that the labels sit at the same features; averages of nets with different heads would be worse still.
"""

from dataclasses import dataclass, replace
from itertools import product

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
    "full": Regime(0.8, 5e-4, steps=160 * 390),
}
LENGTHS = {"usual length": 1, "ten times as long": 10}
SNAPSHOTS = 7
AVERAGED = {"two snapshots": 2, "all snapshots": SNAPSHOTS}
GAINS = {f"{length}, {averaged}": (length, AVERAGED[averaged]) for length, averaged in product(LENGTHS, AVERAGED)}

GAIN = ilr.Prediction(
    quantity="{}: share of the better end's test errors that averaging removes",
    rule="at_least",
    expected=0.05,
    margin=0.0,
    reason=(
        "More than the better end means above 0; a twentieth of its errors is the least that one would see in "
        "a figure, or average weights for."
    ),
)
CLAIM = ilr.Claim(
    id="weight-averaging-helps-within-a-run",
    title="Averaging weights helps within a run, not across initialisations",
    source="blog post, figure 3 left",
    statement=(
        "The average of the weights at two or more moments of one run has a higher test accuracy than either end, also "
        "in runs ten times longer than usual; across initialisations averaging destroys the net."
    ),
    predictions=ilr.for_each(GAINS, GAIN),
    controls=(
        ilr.Control(
            "across-initialisations",
            "The common trajectory: the average is that of two nets trained from different initialisations.",
        ),
    ),
    replicas=ilr.Replicas(tiny=64, reduced=24, full=24),
)


def experiments(setting: ilr.Setting) -> ilr.Experiments:
    regime = REGIMES[setting.scale]
    planned = {}
    for name, factor in LENGTHS.items():
        steps = factor * regime.steps
        # At the beginning, and at each sixth, of the second half.
        at = tuple(steps * (SNAPSHOTS - 1 + count) // (2 * (SNAPSHOTS - 1)) for count in range(SNAPSHOTS))
        planned[name] = setting.experiment(
            learning_rate=regime.learning_rate,
            weight_decay=regime.weight_decay,
            steps=steps,
            # Short runs are cheap, and it is their first two snapshots that gain least.
            replicas=(3 if factor == 1 else 1) * setting.replicas,
            observe=ilr.observe_all("test_accuracy", "average_test_accuracy", at=at),
        )
    return planned


def judge(recordings: ilr.Recordings) -> ilr.Measurements:
    for name, (length, snapshots) in GAINS.items():
        better, average = ends_and_average(recordings[length], snapshots)
        yield GAIN.of(name), 1 - (1 - average) / (1 - better)


def ends_and_average(recording: ilr.Recording, snapshots: int) -> tuple[ilr.Array, ilr.Array]:
    """Test accuracy of the better end and of the average: of the first snapshots of each run, [replica]; or of two
    partners, [pair].
    """
    accuracy = recording["test_accuracy"]  # [replica, snapshot]
    if recording.experiment.partners:
        ends = accuracy[:, -1].reshape(-1, 2)  # [pair, partner]
        return ends.max(axis=1), recording.final("partner_average_test_accuracy")[::2]
    ends = accuracy[:, [0, snapshots - 1]]
    return ends.max(axis=1), recording["average_test_accuracy"][:, snapshots - 1]


def figure(recordings: ilr.Recordings, controls: ilr.ControlRecordings) -> ilr.Figure:
    drawn, panels = ilr.new_figure(
        "As the blog's figure 3, left: the average of the snapshots so far is better than any of them, also late in a "
        "ten times longer run; the average of two initialisations is far worse.",
        panels=len(LENGTHS),
    )
    for axes, (name, recording) in zip(panels, recordings.items(), strict=True):
        across = controls["across-initialisations"][name]
        curves = {
            "average of one run's snapshots": recording["average_test_accuracy"],
            "one snapshot": recording["test_accuracy"],
            "average of two initialisations": across["partner_average_test_accuracy"],
        }
        for label, curve in curves.items():
            ilr.draw_band(axes, recording.steps("test_accuracy"), curve, label, marker=".")
        axes.set(title=name, xlabel="step")
    panels[0].set_ylabel("test accuracy")
    panels[0].legend(loc="lower left")
    return drawn


def control_across_initialisations(setting: ilr.Setting) -> ilr.Experiments:
    return {name: across_initialisations(one) for name, one in experiments(setting).items()}


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
