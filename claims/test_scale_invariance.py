"""The loss of a normalised net does not depend on the scale of its weights.

The whole paper rests on one property: with every trainable weight feeding a normalisation and the top layer frozen
at its random initialisation, L(cw) = L(w) for every c > 0. Differentiating twice, ∇L(cw) = ∇L(w)/c and ∇²L(cw) =
∇²L(w)/c². So the gradient grows without bound near the origin, and no learning rate is small enough there.

We take nets some steps into training, multiply their weights by c from 1/1000 to 1000 and compare loss, c·gradient
and c²·(Hessian times a random direction) with those at c = 1, in float64. These are identities, not averages: one
network that breaks one of them refutes it. The second derivative of a ReLU net is that of the piece it is on;
rescaling keeps the piece.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
from matplotlib.figure import Figure

from ilr import CNN, MLP, BatchNorm, Claim, Constant, Control, Data, Experiment, Observe, Prediction, Replicas, Setting
from ilr.experiments.recording import Recording
from ilr.stats.decision import Finding
from ilr.stats.shares import universal
from ilr.trials.plotting import new_figure

NETS = {"mlp": MLP(), "cnn": CNN((4, 4, 8, 8))}
FACTORS = (1e-3, 1e-1, 1e1, 1e3)
DERIVATIVES = {"loss": "loss_rescaling", "gradient": "gradient_rescaling", "curvature": "curvature_rescaling"}
ROUNDING = (
    "Both sides are computed in float64, whose relative rounding is 1e-16; sums over a net and a batch, and two "
    "derivatives through normalisations, cost some digits, while breaking the invariance shows at order 1."
)

CLAIM = Claim(
    id="scale-invariance",
    title="The loss of a normalised net is scale-invariant",
    source="blog post, introduction",
    statement=(
        "With normalisation and a frozen top layer, loss, gradient and Hessian satisfy L(cw) = L(w), ∇L(cw) = ∇L(w)/c "
        "and ∇²L(cw) = ∇²L(w)/c² for every c > 0."
    ),
    predictions=tuple(
        Prediction(
            quantity=f"{net}: largest relative deviation of the {derivative}",
            rule="universal",
            expected=0.0,
            margin=1e-7,
            reason=ROUNDING,
        )
        for net in NETS
        for derivative in DERIVATIVES
    ),
    controls=(
        Control(
            "trainable-head", "The frozen top layer: rescaling a trained head rescales the logits, hence the loss."
        ),
        Control(
            "large-epsilon", "Exact normalisation: with ε = 0.1 under the root, small weights are no longer normalised."
        ),
    ),
    replicas=Replicas(tiny=48, reduced=48, full=48),
)


def experiments(setting: Setting) -> dict[str, Experiment]:
    at = (5,)
    return {
        name: Experiment(
            net=net,
            norm=BatchNorm(),
            data=Data("digits"),
            batch_size=32,
            learning_rate=Constant(0.1),
            weight_decay=Constant(0.01),
            steps=at[-1],
            replicas=setting.replicas,
            seed=setting.seed,
            precision="float64",
            observe=tuple(Observe(quantity, at, FACTORS) for quantity in DERIVATIVES.values()),
        )
        for name, net in NETS.items()
    }


def judge(recordings: Mapping[str, Recording]) -> Iterable[Finding]:
    for net in NETS:
        for derivative, quantity in DERIVATIVES.items():
            largest = recordings[net].final(quantity).max(axis=1)
            yield universal(CLAIM[f"{net}: largest relative deviation of the {derivative}"], largest)


def figure(recordings: Mapping[str, Recording], controls: Mapping[str, Mapping[str, Recording]]) -> Figure:
    drawn, panels = new_figure(
        "Largest relative deviation from scale invariance over all replicas and nets, by the factor c.",
        panels=len(DERIVATIVES),
    )
    for axes, (derivative, quantity) in zip(panels, DERIVATIVES.items(), strict=True):
        for label, runs in {"frozen head, ε = 0": recordings, **controls}.items():
            worst = np.max([runs[net].final(quantity).max(axis=0) for net in NETS], axis=0)
            axes.loglog(FACTORS, np.maximum(worst, 1e-17), marker="o", label=label)
        axes.set(title=derivative, xlabel="weights multiplied by c")
    panels[0].set_ylabel("largest relative deviation")
    panels[0].legend()
    return drawn


def control_trainable_head(setting: Setting) -> dict[str, Experiment]:
    return {name: replace(one, trainable_head=True) for name, one in experiments(setting).items()}


def control_large_epsilon(setting: Setting) -> dict[str, Experiment]:
    return {name: replace(one, norm=BatchNorm(eps=0.1)) for name, one in experiments(setting).items()}


def test_scale_invariance(trial):
    trial.must_reproduce()
