"""Evidence as a run would write it, with every kind of verdict, for the tests of the report."""

import functools
import hashlib
import io
from typing import Any

import matplotlib
import msgspec
import numpy as np
from matplotlib.figure import Figure

from ilr.report.evidence import Evidence

NEW_IN_SCHEMA_2 = {
    "evidence": {"invocation"},
    "claim": {
        "looks", "looks_planned", "as_registered", "literal", "regime", "history", "digests", "values", "file",
        "variation",
    },
    "control": {"digests", "values"},
    "experiment": {
        "net", "norm", "optimiser", "data", "learning_rate", "weight_decay", "intrinsic_learning_rate", "batch_size",
        "trained_by", "record",
    },
}  # fmt: skip

REPORTS = ("tiny", "reduced", "full")
"""Folders of all that are committed, but for those of the matrix."""


def typed(evidence: dict[str, Any]) -> Evidence:
    """Evidence as a run would hand it over, from its JSON."""
    return msgspec.convert(evidence, Evidence)


def in_schema_1(evidence: dict[str, Any]) -> dict[str, Any]:
    """The same evidence as earlier versions would have written it."""

    def without(kind: str, of: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in of.items() if name not in NEW_IN_SCHEMA_2[kind]}

    claims = []
    for told in evidence["claims"]:
        controls = [without("control", one) for one in told["controls"]]
        claims.append(without("claim", told) | {"controls": controls})
    experiments = {name: without("experiment", one) for name, one in evidence["experiments"].items()}
    return without("evidence", evidence) | {"schema": 1, "claims": claims, "experiments": experiments}


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def finding(name: str, verdict: str = "REPRODUCED", **changes: Any) -> dict[str, Any]:
    p, p_refuted = {"REPRODUCED": (2e-7, 1.0), "REFUTED": (1.0, 3e-5), "INCONCLUSIVE": (0.031, 0.92)}[verdict]
    return {
        "name": name,
        "estimate": 0.3197,
        "interval": [0.3111, 0.3283],
        "expected": 0.31622776601683794,
        "margin": 0.03,
        "accepted": [0.28622776601683794, 0.34622776601683794],
        "rule": "equivalence: two one-sided t tests over replicas; the error rates rest on replicas being independent "
        "and their mean nearly normal",
        "alpha": 0.005,
        "n": 48,
        "p": p,
        "p_refuted": p_refuted,
        "verdict": verdict,
        "replicas_needed": None,
    } | changes


def control(name: str, takes_away: str, verdict: str = "REFUTED", **changes: Any) -> dict[str, Any]:
    ends = {"REFUTED": (0.0988, 0.1093), "INCONCLUSIVE": (0.21, 0.31), "REPRODUCED": (0.3111, 0.3283)}
    findings = [
        finding(
            "effective LR after the drop ÷ before", verdict, estimate=sum(ends[verdict]) / 2, interval=ends[verdict]
        )
        for verdict in [verdict]
        if verdict in ends
    ]
    return {
        "name": name,
        "takes_away": takes_away,
        "verdict": verdict,
        "sound": verdict in ("REFUTED", "INCONCLUSIVE"),
        "findings": findings,
        "message": "",
        "digests": {"drop": sha256("experiment 3")},
        "values": {found["name"]: [[0.1, 0.11, 0.101]] for found in findings},
    } | changes


def prediction(quantity: str, **changes: Any) -> dict[str, Any]:
    return {
        "record": "Prediction",
        "quantity": quantity,
        "rule": "equivalent",
        "expected": 0.31622776601683794,
        "margin": 0.03,
        "reason": "A tenth of the drop: the law holds for constant gradient noise, which a real network keeps only "
        "approximately.",
        "alpha": 0.005,
        "power": 0.9,
    } | changes


def claim(identity: str, verdict: str, **changes: Any) -> dict[str, Any]:
    findings = changes.get("findings", [])
    controls = changes.get("controls", [])
    predictions = changes.pop("predictions", None) or [
        prediction(found["name"], expected=found["expected"], margin=found["margin"], rule=found["rule"].split(":")[0])
        for found in findings
    ]
    record = {
        "record": "Claim",
        "id": identity,
        "predictions": predictions,
        "controls": [
            {"record": "Control", "name": control["name"], "takes_away": control["takes_away"]} for control in controls
        ],
        "replicas": {"record": "Replicas", "tiny": 48, "reduced": 96, "full": None},
        "not_run": "The full scale needs the real figure's settings, which are not known.",
    }
    return {
        "id": identity,
        "title": identity.replace("-", " ").capitalize(),
        "source": "blog post, section 2",
        "statement": "",
        "verdict": verdict,
        "findings": findings,
        "controls": controls,
        "experiments": [],
        "figures": [],
        "seconds": 12.34,
        "message": "",
        "record": record,
        "record_sha256": sha256(identity),
        "file": f"claims/test_{identity.replace('-', '_')}.py",
        "looks": [{"n": 48, "level": 0.005, "findings": findings, "verdict": verdict, "controls": {}}]
        if findings
        else [],
        "looks_planned": [48] if findings else [],
        "as_registered": True,
        "literal": False,
        "variation": "",
        "regime": "MLP, digits; 48 replicas a group" if findings else "",
        "history": {"attempts": [], "regimes": [], "notes": []},
        "digests": {},
        "values": {found["name"]: [[0.31, 0.33, 0.32], [1.0, 1.02]] for found in findings},
    } | changes


@functools.cache
def figure(title: str, caption: str) -> str:
    """A figure as a claim draws it: clipped lines, markers, a legend with Greek letters."""
    drawing = Figure(figsize=(6.2, 3.4), layout="constrained")
    axes = drawing.subplots()
    time = np.linspace(0, 2.5, 60)
    for drop in (2, 10):
        axes.plot(time, (drop + (drop**2 - drop) * np.exp(-4 * time)) ** -0.5, label=f"η ÷ {drop}, theory")
    axes.plot(time[::6], (10 + 90 * np.exp(-4 * time[::6])) ** -0.5, "ko", label="48 replicas")
    axes.set(xlabel="time since the drop, λₑ′t", ylabel="effective LR ÷ its value before", title=title)
    axes.legend(frameon=False)
    text = io.StringIO()
    # One salt for all figures, as a reproducible run has it: their clip paths then share their ids.
    with matplotlib.rc_context({"svg.hashsalt": "ilr"}):
        drawing.savefig(text, format="svg", metadata={"Title": caption, "Date": None})
    return text.getvalue()


def sample_evidence() -> dict[str, Any]:
    """Seven claims: two REPRODUCED and one each of the other verdicts."""
    digests = [sha256(f"experiment {i}") for i in range(5)]
    descriptions = [
        "MLP(64-32-32-32-10), batch norm, digits (1,437 images), B = 32, η = 0.5 → 0.05 at step 3,000, λ = 0.02",
        "MLP(64-32-32-32-10), batch norm, digits (1,437 images), B = 32, η = 0.5, λ = 0.02",
        "MLP(64-32-32-32-10), batch norm, digits (1,437 images), B = 32, η = 1, λ = 0.01",
        "MLP(64-32-32-32-10), no normalisation, digits (1,437 images), B = 32, η = 0.5 → 0.05 at step 3,000, λ = 0.02",
        "CNN(16-16-32-32), batch norm, digits (1,437 images), full batch, η = 1, λ = 0.01",
    ]
    claims = [
        claim(
            "lr-drop-square-root-law",
            "REPRODUCED",
            title="Dividing the LR by k divides the effective LR by √k in the end",
            source="review 1, question 3; blog post, section 2",
            statement="At equilibrium the effective LR η/‖w‖² is set by the intrinsic LR λ_e = ηλ. When η is divided "
            "by k the effective LR falls by k at once and then climbs back to 1/√k of its old value.\n\nThe gradient "
            "noise is taken as measured, not as constant.",
            findings=[
                finding("effective LR after the drop ÷ before"),
                finding(
                    "steps to equilibrium × 4λ_e",
                    estimate=1.0123,
                    interval=[0.96, 1.0646],
                    expected=1.0,
                    margin=0.15,
                    accepted=[0.85, 1.15],
                    p=0.00041,
                ),
            ],
            controls=[
                control(
                    "no-normalisation",
                    "The normalisation layers: the loss is then no longer scale-invariant, ‖w‖ no longer sets a "
                    "rate, and nothing climbs back.",
                ),
                control(
                    "no-weight-decay",
                    "Weight decay: the norm can then only grow, and the effective LR never recovers.",
                    "INCONCLUSIVE",
                ),
            ],
            experiments=[digests[0], digests[3]],
            figures=[
                figure("η ÷ k at equilibrium", "Effective LR after the LR was divided by k: theory, and 48 replicas."),
                figure("the same on the control", "The same with λ = 0 & no normalisation."),
            ],
            seconds=41.7,
            digests={"drop": digests[0]},
            history={
                "attempts": [
                    {
                        "date": "2026-11-20",
                        "scale": "tiny",
                        "seed": 13,
                        "commit": "4f1c0de",
                        "verdict": "INCONCLUSIVE",
                        "regime": "MLP 32-32-32, 12 replicas a group",
                        "note": "its report was not kept",
                        "n": None,
                    },
                    {
                        "date": "2026-11-21",
                        "scale": "tiny",
                        "seed": 0,
                        "commit": "",
                        "verdict": "REPRODUCED",
                        "regime": "MLP 32-32-32, 48 replicas a group",
                        "note": "",
                        "n": 48,
                    },
                ],
                "regimes": [
                    {"scale": "tiny", "tried": "λ = 0.2", "found": "the net <collapses>", "seeds": "7 and 8"},
                ],
                "notes": ["An earlier report found a larger ratio."],
            },
        ),
        claim(
            "function-space-equilibrium",
            "REPRODUCED",
            title="Runs that share λ_e end as the same distribution of functions",
            source="blog post, figure 4",
            statement="The distribution of the trained function depends on (η, λ) only through their product.",
            findings=[
                finding(
                    "squared function distance at the end",
                    estimate=0.0001,
                    interval=[None, 0.0008],
                    expected=0.0,
                    margin=0.002,
                    accepted=[None, 0.002],
                    rule="below: jackknife over replicas of the unbiased squared distance; one-sided",
                )
            ],
            controls=[
                control(
                    "unequal-intrinsic-learning-rates",
                    "The equality of λ_e: one of the two runs has twice the other's.",
                    findings=[
                        finding(
                            "squared function distance at the end",
                            "REFUTED",
                            estimate=0.0047,
                            interval=[0.0039, None],
                            expected=0.0,
                            margin=0.002,
                            accepted=[None, 0.002],
                            rule="below: jackknife over replicas of the unbiased squared distance; one-sided",
                        )
                    ],
                )
            ],
            experiments=[digests[1], digests[2]],
        ),
        claim(
            "heavy-tailed-noise",
            "REFUTED",
            title='Gradient noise is heavy-tailed: α < 2 & "no second moment" <at equilibrium>',
            source="review 1, question 4",
            statement="The tail index of the gradient noise lies below 2 <so its variance is infinite> & the SDE "
            "does not hold.",
            findings=[
                finding(
                    "tail index α̂",
                    "REFUTED",
                    estimate=1.9968,
                    interval=[1.991, 2.0026],
                    expected=1.5,
                    margin=0.2,
                    accepted=[None, 1.7],
                    rule="below: one-sided t test over replicas",
                    n=1200,
                )
            ],
            controls=[control("gaussian-noise", "Heavy tails: the noise is drawn from a normal distribution.")],
            experiments=[digests[1]],
        ),
        claim(
            "average-beats-single",
            "INCONCLUSIVE",
            title="The average of two epochs of one trajectory beats either",
            source="blog post, figure 3a",
            statement="Even at 10× the usual training time the weights averaged over one trajectory classify better.",
            findings=[
                finding(
                    "gain in test accuracy of the average (percentage points)",
                    "INCONCLUSIVE",
                    estimate=0.31,
                    interval=[-0.12, None],
                    expected=0.0,
                    margin=0.0,
                    accepted=[0.0, None],
                    rule="above: one-sided t test over pairs of snapshots",
                    replicas_needed=1240,
                ),
                finding(
                    "gain across different initialisations",
                    "INCONCLUSIVE",
                    estimate=-54.2,
                    interval=[-61.0, 17.0],
                    expected=0.0,
                    margin=30.0,
                    accepted=[-30.0, 30.0],
                ),
            ],
            controls=[control("shuffled-labels", "What there is to learn: the training labels are shuffled.")],
            experiments=[digests[2], digests[3]],
            message="2 of 48 replicas were left out: they had not reached equilibrium.",
        ),
        claim(
            "norm-follows-square-root",
            "UNSOUND",
            title="The norm at equilibrium is proportional to √η",
            source="paper, figure 5",
            statement="At equal λ_e two runs have norms in the ratio √(η₁/η₂).",
            findings=[
                finding(
                    "‖w₁‖² ÷ ‖w₂‖²", estimate=10.02, interval=[9.97, 10.07], expected=10, margin=1, accepted=[9, 11]
                )
            ],
            controls=[
                control("own-norm", "Weight decay, in both runs.", "REPRODUCED"),
                control(
                    "one-run", "The second run.", "ERROR", sound=False, message="RuntimeError: loss is NaN at step 17"
                ),
            ],
            experiments=[digests[1], digests[2]],
            message="The control own-norm was reproduced too.",
        ),
        claim(
            "full-batch-spikes",
            "ERROR",
            title="Full-batch gradient descent with weight decay never settles",
            source="blog post, figure 1",
            statement="The loss reaches its least value and then spikes for ever.",
            predictions=[prediction("median gap between spikes × λ_e", rule="equivalent", expected=0.92, margin=0.2)],
            message="FloatingPointError in judge\n  claims/test_full_batch_spikes.py:61: " + "x" * 120 + "\x1b[31m",
            experiments=[digests[4], sha256("an experiment that was never run")],
        ),
        claim(
            "cifar-test-accuracy",
            "NOT RUN",
            title="Every schedule reaches the same best test accuracy on CIFAR-10",
            source="paper, figure 5",
            statement="After 500 epochs of any schedule, one common schedule brings all runs to one accuracy.",
            predictions=[
                prediction("largest gap in test accuracy (percentage points)", rule="below", expected=0, margin=1)
            ],
            controls=[],
            message="Needs CIFAR-10 and GPUs: it runs at full scale only.",
            seconds=0.0,
        ),
    ]
    return {
        "schema": 2,
        "scale": "tiny",
        "seed": 0,
        "started": "2026-11-21T23:30:00Z",
        "seconds": 141.2,
        "invocation": {
            "command": "pytest claims --scale=tiny --seed=0 --replicas=48",
            "selected": ["claims"],
            "overrides": {"--replicas": "48"},
        },
        "provenance": {
            "ilr": "0.1.0",
            "git": "4f1c0de5a1f0b7c98d1e25a7c8f2e53b6a9d0e11 (with uncommitted changes)",
            "repository": "",
            "python": "3.11.7",
            "torch": "2.14.1",
            "device": "cpu",
            "cpu": "Intel(R) Xeon(R) Platinum 8581C CPU @ 2.10GHz",
            "threads": 2,
            "peak_memory_bytes": 1_932_735_283,
            "peak_gpu_memory_bytes": 0,
            "platform": "linux",
            "data": {"digits": {"sha256": sha256("digits")}},
            "claims_sha256": sha256("claims"),
        },
        "claims": claims,
        "appendix": [],
        "experiments": {
            digest: {
                "description": description,
                "replicas": 48,
                "steps": 6000,
                "seconds": 12.1,
                "origin": "in the store" if i == 2 else "trained here: not in the store",
                "computed": "48 at once, grouped convolutions",
                "net": "MLP 64-32-32-32-10",
                "norm": "batch norm",
                "optimiser": "SGD",
                "data": "digits",
                "learning_rate": "0.5, ÷10 at step 3000",
                "weight_decay": "0.02",
                "intrinsic_learning_rate": [0.01, 0.001],
                "batch_size": 32,
                "precision": "float32",
                "trained_by": {
                    "ilr_versions": ["0.1.0"],
                    "torch_versions": ["2.13.0", "2.14.1"],
                    "commits": ["0f" * 20],
                    "devices": ["cpu"],
                    "processors": ["Intel(R) Xeon(R) Platinum 8581C CPU @ 2.10GHz"],
                    "gpu_software": [],
                    "first_trained": "2026-11-20T08:00:00Z",
                    "last_trained": "2026-11-21T23:31:00Z",
                },
                "record": {"record": "Experiment"},
            }
            for i, (digest, description) in enumerate(zip(digests, descriptions, strict=True))
        },
    }
