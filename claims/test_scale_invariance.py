"""The loss of a normalised net does not depend on the scale of its weights.

The whole paper rests on one property: with every trainable weight feeding a normalisation and the top layer frozen
at its random initialisation, L(cw) = L(w) for every c > 0. Differentiating twice, ∇L(cw) = ∇L(w)/c and ∇²L(cw) =
∇²L(w)/c². So the gradient grows without bound near the origin, and no learning rate is small enough there.

We take nets some steps into training, multiply their weights by c from 1/1000 to 1000 and compare loss, c·gradient
and c²·(Hessian times a random direction) with those at c = 1, in float64. These are identities, not averages: one
network that breaks one of them refutes it. The second derivative of a ReLU net is that of the piece it is on;
rescaling keeps the piece. The paper derives this; at any weights it is the same, so a few steps suffice at any scale.
"""

from dataclasses import replace

import numpy as np

import ilr

NETS: dict[str, ilr.MLP | ilr.CNN] = {"mlp": ilr.MLP(), "cnn": ilr.CNN((4, 4, 8, 8))}
FACTORS = (1e-3, 1e-1, 1e1, 1e3)
STEPS = 5

LOSS = ilr.Prediction(
    quantity="{}: largest relative deviation of the loss",
    rule="universal",
    expected=0.0,
    margin=1e-7,
    reason=(
        "Both sides are computed in float64, whose relative rounding is 1e-16; sums over a net and a batch, and two "
        "derivatives through normalisations, cost some digits, while breaking the invariance shows at order 1."
    ),
)
GRADIENT = replace(LOSS, quantity="{}: largest relative deviation of the gradient")
CURVATURE = replace(LOSS, quantity="{}: largest relative deviation of the curvature")
DIFFERENCE = "testing what is derived there, on an MLP and a small CNN, both on digits and in float64."
CLAIM = ilr.Claim(
    id="scale-invariance",
    title="The loss of a normalised net is scale-invariant",
    source="blog post, introduction",
    statement=(
        "With normalisation and a frozen top layer, loss, gradient and Hessian satisfy L(cw) = L(w), ∇L(cw) = ∇L(w)/c "
        "and ∇²L(cw) = ∇²L(w)/c² for every c > 0."
    ),
    predictions=ilr.for_each(NETS, LOSS, GRADIENT, CURVATURE),
    controls=(
        ilr.Control(
            "trainable-head", "The frozen top layer: rescaling a trained head rescales the logits, hence the loss."
        ),
        ilr.Control(
            "large-epsilon", "Exact normalisation: with ε = 0.1 under the root, small weights are no longer normalised."
        ),
    ),
    replicas=ilr.Replicas(tiny=24, reduced=24, full=24),
    question="Is the loss of a normalised net scale-invariant?",
    differs=ilr.Differs(tiny=DIFFERENCE, reduced=DIFFERENCE, full=DIFFERENCE),
)


def experiments(setting: ilr.Setting) -> ilr.Experiments:
    return {
        name: ilr.Experiment(
            net=net,
            norm=ilr.BatchNorm(),
            data=ilr.Data("digits"),
            batch_size=32,
            learning_rate=0.1,
            weight_decay=0.01,
            steps=STEPS,
            replicas=setting.replicas,
            seed=setting.seed,
            precision="float64",
            observe=(
                ilr.Observe("loss_rescaling", (STEPS,), FACTORS),
                ilr.Observe("gradient_rescaling", (STEPS,), FACTORS),
                ilr.Observe("curvature_rescaling", (STEPS,), FACTORS),
            ),
        )
        for name, net in NETS.items()
    }


def judge(recordings: ilr.Recordings) -> ilr.Measurements:
    for name in NETS:
        yield LOSS.of(name), recordings[name].final("loss_rescaling").max(axis=1)
        yield GRADIENT.of(name), recordings[name].final("gradient_rescaling").max(axis=1)
        yield CURVATURE.of(name), recordings[name].final("curvature_rescaling").max(axis=1)


def figure(recordings: ilr.Recordings, controls: ilr.ControlRecordings) -> ilr.Figure:
    drawn, panels = ilr.new_figure(
        "The largest relative deviation from scale invariance over all replicas and nets, on a logarithmic axis, "
        "against the factor c; controls are grey.",
        panels=3,
    )
    for axes, derivative in zip(panels, ("loss", "gradient", "curvature"), strict=True):
        for label, runs in {"frozen head, ε = 0": recordings, **controls}.items():
            deviations = np.concatenate([runs[name].final(f"{derivative}_rescaling") for name in NETS])
            style = {} if runs is recordings else ilr.as_control()
            ilr.draw_largest(axes, FACTORS, deviations, label.replace("-", " "), markevery=1, **style)
        axes.set(title=derivative, xlabel="weights multiplied by c", xscale="log")
    panels[0].set_ylabel("largest relative deviation")
    panels[0].legend()
    return drawn


def control_trainable_head(setting: ilr.Setting) -> ilr.Experiments:
    return ilr.changed(experiments(setting), trainable_head=True)


def control_large_epsilon(setting: ilr.Setting) -> ilr.Experiments:
    return ilr.changed(experiments(setting), norm=ilr.BatchNorm(eps=0.1))


def test_scale_invariance(trial: ilr.JudgedClaim) -> None:
    trial.must_reproduce()
