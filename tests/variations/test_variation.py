"""Claims under other choices than their own: what is replaced, what is kept, and where that makes no sense."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ilr.experiments.architectures import CNN, MLP
from ilr.experiments.experiment import Data, Experiment
from ilr.experiments.norms import GroupNorm, InNet, LayerNorm, NoNorm
from ilr.experiments.optimizers import SGD, AdamW
from ilr.experiments.schedules import Cosine
from ilr.report.files import read_evidence
from ilr.trials.claim import ClaimFileError
from ilr.trials.history import record
from ilr.variations.choices import Choice
from ilr.variations.variation import AS_REGISTERED, AXES, NoSenseError, Variation
from tests.claim_files import write_claim
from tests.conftest import Run

FIELDS: dict[str, dict[str, Any]] = {
    "norm": {"norm": GroupNorm(2)},
    "net": {"net": MLP((4, 4))},
    "momentum": {"momentum": 0.9, "learning_rate": 0.1 * (1 - 0.9)},
}
TYPED = {"norm": "group", "net": "mlp:4-4", "momentum": "0.9"}


def variation(**typed: str) -> Variation:
    return Variation({name: AXES[name].check(text) for name, text in typed.items()})


@pytest.mark.parametrize("axis", FIELDS)
def test_a_claims_own_choice_is_replaced_in_the_claim_and_in_its_controls(
    axis: str, small_experiment: Experiment
) -> None:
    planned = {"run": small_experiment, "small": replace(small_experiment, initial_scale=0.1)}
    controls = {"decay": {name: replace(one, weight_decay=0.0) for name, one in planned.items()}}
    varied, varied_controls, told = variation(**{axis: TYPED[axis]}).of(planned, controls)
    for name, one in planned.items():
        assert varied[name] == replace(one, **FIELDS[axis])
        assert varied_controls["decay"][name] == replace(one, weight_decay=0.0, **FIELDS[axis])
    assert " in place of " in told
    assert planned["run"] is small_experiment


def test_several_choices_at_once(small_experiment: Experiment) -> None:
    varied, _, told = variation(**TYPED).of({"run": small_experiment}, {})
    assert varied == {
        "run": replace(small_experiment, **{name: one for of in FIELDS.values() for name, one in of.items()})
    }
    assert told == (
        "group norm in 2 in place of batch norm, MLP 4-4 in place of MLP 8-8, "
        "momentum 0.9 (η × 0.1) in place of no momentum"
    )


@pytest.mark.parametrize(
    ("before", "typed", "after"),
    [
        ({"momentum": 0.5}, "sgd", {"momentum": 0.0, "learning_rate": 0.2}),
        ({}, "momentum", {"momentum": 0.9, "learning_rate": 0.01}),
        ({}, "nesterov", {"optimizer": SGD(0.9, nesterov=True), "learning_rate": 0.01}),
        ({"momentum": 0.5}, "adamw", {"momentum": 0.0, "optimizer": AdamW(), "learning_rate": 0.2}),
        ({}, "adamw", {"optimizer": AdamW()}),
        ({"optimizer": AdamW()}, "momentum", {"momentum": 0.9, "optimizer": None, "learning_rate": 0.01}),
        ({"initial_velocity": 1.0}, "momentum", {"momentum": 0.9, "learning_rate": 0.01}),
        ({"learning_rate": Cosine(0.1, 5)}, "momentum", {"momentum": 0.9, "learning_rate": Cosine(0.01, 5)}),
    ],
)
def test_an_optimiser_takes_the_place_of_plain_momentum_at_the_same_intrinsic_learning_rate(
    before: Any, typed: str, after: Any, small_experiment: Experiment
) -> None:
    planned = replace(small_experiment, **before)
    varied, _, told = variation(optimizer=typed).of({"run": planned}, {})
    wanted = replace(planned, **after)
    factor = wanted.learning_rates()[0] / planned.learning_rates()[0]
    assert (f"(η × {factor:.3g}) in place of" in told) == (abs(factor - 1) > 1e-9)
    np.testing.assert_allclose(varied["run"].learning_rates(), wanted.learning_rates(), rtol=1e-12)
    assert replace(varied["run"], learning_rate=0.0) == replace(wanted, learning_rate=0.0)


@pytest.mark.parametrize("schedule", [0.1, Cosine(0.1, 5)])
def test_decay_that_momentum_does_not_gather_is_made_stronger(schedule: Any, small_experiment: Experiment) -> None:
    """What gradients do in the end, and the intrinsic learning rate, stay as they are."""
    planned = replace(small_experiment, weight_decay=schedule)
    choice = Choice("mine.py:SGDW", SGD(momentum=0.9, decoupled=True))
    varied, _, told = Variation({"optimizer": choice}).of({"run": planned}, {})
    np.testing.assert_allclose(varied["run"].learning_rates(), 0.1 * planned.learning_rates())
    np.testing.assert_allclose(varied["run"].weight_decays(), 10 * planned.weight_decays())
    np.testing.assert_allclose(varied["run"].intrinsic_learning_rates(), planned.intrinsic_learning_rates())
    assert told == "SGD, momentum 0.9, decoupled weight decay (η × 0.1, λ × 10) in place of SGD"


def test_what_a_claim_would_write_for_momentum_is_the_same_experiment(small_experiment: Experiment) -> None:
    """And so the same recording: η(1 − β)."""
    varied, _, _ = variation(momentum="0.9").of({"run": small_experiment}, {})
    assert varied["run"] == replace(small_experiment, momentum=0.9, learning_rate=0.1 * (1 - 0.9))


def test_a_net_of_ones_own_brings_its_norms(small_experiment: Experiment, tmp_path: Path) -> None:
    path = tmp_path / "net_with_norms_within.py"
    path.write_text("import ilr\n\n@ilr.record\nclass NetWithin(ilr.Net):\n    pass\n")
    controls = {"unnormalised": {"run": replace(small_experiment, norm=NoNorm())}}
    mine = f"{path}:NetWithin"
    varied, _, told = variation(net=mine).of({"run": small_experiment}, {})
    assert isinstance(varied["run"].norm, InNet)
    assert told == "NetWithin() in place of MLP 8-8"
    with pytest.raises(NoSenseError, match="its control 'unnormalised' would be the same as the claim"):
        variation(net=mine).of({"run": small_experiment}, controls)
    with pytest.raises(NoSenseError, match=r"the norms of NetWithin\(\) are its own, and cannot be another"):
        variation(net=mine, norm="group").of({"run": small_experiment}, {})


def test_an_optimiser_has_no_momentum_but_its_own(small_experiment: Experiment) -> None:
    with pytest.raises(NoSenseError, match=r"momentum=0\.9 is that of an experiment without optimizer"):
        variation(optimizer="adamw", momentum="0.9").of({"run": small_experiment}, {})
    varied, _, told = variation(optimizer="sgd", momentum="0.9").of({"run": small_experiment}, {})
    assert varied["run"].momentum == 0.9
    assert told == "momentum 0.9 (η × 0.1) in place of no momentum"


def test_a_control_without_a_norm_stays_without(small_experiment: Experiment) -> None:
    control = {"run": replace(small_experiment, norm=NoNorm())}
    _, controls, _ = variation(norm="group").of({"run": small_experiment}, {"unnormalised": control})
    assert controls == {"unnormalised": control}


def test_what_is_its_own_choice_changes_nothing(small_experiment: Experiment) -> None:
    planned = {"run": small_experiment}
    assert variation(norm="batch", momentum="0").of(planned, {}) == (planned, {}, "")


@pytest.mark.parametrize(
    ("cut", "kept"),
    [
        (Data("digits", train=20, test=10, side=4), {"train": 20, "test": 10}),
        (Data("digits", train=1000), {}),
        (Data("digits"), {}),
    ],
)
def test_other_data_are_cut_down_where_there_is_as_much(
    cut: Data, kept: dict[str, int], small_experiment: Experiment, tmp_path: Path
) -> None:
    path = npz_at(tmp_path)
    planned = {"run": replace(small_experiment, data=cut)}
    varied, _, told = variation(data=str(path)).of(planned, {})
    data = varied["run"].data
    assert data is not None
    assert (data.train, data.test, data.side) == (kept.get("train"), kept.get("test"), None)
    assert told == f"{data.name} in place of digits"


@pytest.mark.parametrize(
    ("changes", "typed", "reason"),
    [
        ({"norm": LayerNorm()}, {"norm": "group"}, "it compares norms itself: batch norm; layer norm"),
        ({"net": CNN((4,))}, {"net": "mlp"}, "it compares nets itself: MLP 8-8; CNN 4"),
        ({"momentum": 0.5}, {"optimizer": "lion"}, r"it compares optimisers itself: SGD; SGD, momentum 0\.5$"),
        ({"optimizer": AdamW()}, {"optimizer": "sgd"}, "it compares optimisers itself: SGD; AdamW, β"),
        ({"momentum": 0.5}, {"momentum": "0.9"}, "it compares momenta itself: no momentum; momentum 0.5"),
        ({"data": Data("mnist")}, {"data": "digits"}, "it compares data sets itself: digits; mnist"),
    ],
)
def test_a_claim_that_compares_is_not_varied(
    changes: Any, typed: dict[str, str], reason: str, small_experiment: Experiment
) -> None:
    planned = {"run": small_experiment, "other": replace(small_experiment, **changes)}
    with pytest.raises(NoSenseError, match=reason):
        variation(**typed).of(planned, {})
    # What it does not compare can be another.
    free = "norm" if "norm" not in typed else "momentum"
    assert variation(**{free: TYPED[free]}).of(planned, {})[0] != planned


@pytest.mark.parametrize("axis", AXES)
def test_the_toy_is_not_varied(axis: str, small_toy: Experiment) -> None:
    typed = (TYPED | {"data": "digits", "optimizer": "adamw"})[axis]
    with pytest.raises(NoSenseError, match=r"it is about the toy loss, whose .* cannot be another"):
        variation(**{axis: typed}).of({"run": small_toy}, {})


def test_a_control_on_the_toy_is_left_alone(small_experiment: Experiment, small_toy: Experiment) -> None:
    _, controls, _ = variation(**TYPED).of({"run": small_experiment}, {"toy": {"run": small_toy}})
    assert controls == {"toy": {"run": small_toy}}


def test_a_norm_that_does_not_fit_the_net(small_experiment: Experiment) -> None:
    with pytest.raises(NoSenseError, match="instance norm: each unit of MLP 8-8 would be normalised by itself"):
        variation(norm="instance").of({"run": small_experiment}, {})


def test_a_control_that_would_be_the_claim(small_experiment: Experiment) -> None:
    """It takes away what the variation takes away, too."""
    controls = {"unnormalised": {"run": replace(small_experiment, norm=NoNorm())}}
    with pytest.raises(NoSenseError, match="its control 'unnormalised' would be the same as the claim"):
        variation(norm="none").of({"run": small_experiment}, controls)


def test_a_claim_may_keep_its_own(small_experiment: Experiment) -> None:
    keeps = {"net": "it is about depth"}
    with pytest.raises(NoSenseError, match="it is about depth"):
        variation(net="mlp").of({"run": small_experiment}, {}, keeps)
    variation(norm="group").of({"run": small_experiment}, {}, keeps)


def test_without_choices_it_is_what_is_registered() -> None:
    assert not AS_REGISTERED
    assert not AS_REGISTERED.suffix
    assert variation(**TYPED).suffix == "-norm-group-net-mlp-4-4-momentum-0.9"
    assert variation(momentum=".9").suffix == "-momentum-.9"


def npz_at(folder: Path, features: int = 9) -> Path:
    """Sixty training and twenty test vectors of three classes, in a file."""
    stream = np.random.default_rng(8)
    images, labels = stream.standard_normal((80, features)), np.arange(80) % 3
    path = folder / "mine.npz"
    np.savez(path, images=images[:60], labels=labels[:60], test_images=images[60:], test_labels=labels[60:])
    return path


def on_digits(path: Path, net: str = "MLP((8, 8))") -> Path:
    """Changes a claim's file to train small nets on a few digits."""
    there = f'net={net}, norm=BatchNorm(), data=Data("digits", train=64, test=32), batch_size=16'
    text = path.read_text().replace("net=Toy(), norm=NoNorm()", there)
    path.write_text(text.replace("import Claim", "import CNN, BatchNorm, Data, MLP, Claim"))
    return path


def test_a_run_names_its_variation_and_where_it_makes_no_sense(run: Run, pytester: pytest.Pytester) -> None:
    claims = pytester.path / "claims"
    on_digits(write_claim(claims, "varied", replicas=16, control=1.0))
    on_digits(write_claim(claims, "on-images"), "CNN((4,))")
    write_claim(claims, "on-the-toy")
    keeping = on_digits(write_claim(claims, "keeping"))
    keeping.write_text(keeping.read_text() + "\nKEEPS = {'data': 'it is about digits'}\n")
    path = npz_at(pytester.path)
    result = run("--norm=layer", f"--data={path}", "--momentum=0.5", "--seed=900460")
    result.assert_outcomes(passed=1, skipped=3)
    folder = pytester.path / "reports" / "tiny-norm-layer-data-mine.npz-momentum-0.5"
    found = read_evidence(folder)
    by_id = {claim.id: claim for claim in found.claims}
    asked = {"--norm": "layer", "--data": "DIR/mine.npz", "--momentum": "0.5"}
    assert found.invocation.overrides == asked | {"--engine": "in-process"}
    told = by_id["varied"].variation
    assert told.startswith("layer norm in place of batch norm, mine.npz (")
    assert told.endswith(") in place of digits, momentum 0.5 (η × 0.5) in place of no momentum")
    options = "--norm=layer --data=DIR/mine.npz --momentum=0.5"
    reasons = {
        "on-images": "CNN 4 takes images",
        "on-the-toy": "it is about the toy loss",
        "keeping": "it is about dig",
    }
    for name, reason in reasons.items():
        assert by_id[name].verdict == "NOT RUN"
        assert by_id[name].message.startswith(f"makes no sense with {options}: {reason}")
    [experiment] = [found.experiments[one] for one in by_id["varied"].digests.values()]
    assert (experiment.norm, experiment.optimiser) == ("layer norm", "SGD, momentum 0.5")
    # Nothing of a machine's folders.
    assert str(pytester.path) not in json.dumps(experiment.record)
    assert experiment.data.startswith("mine.npz (")
    page = (folder / "index.html").read_text(encoding="utf-8")
    assert "1 claim tried under layer norm in place of batch norm" in page
    # It is no attempt at the claim.
    with pytest.raises(ClaimFileError, match="it is no attempt at them"):
        record(found, claims)


@pytest.mark.parametrize("given", ["--norm=batch", "--momentum=0"])
def test_its_own_choices_are_what_is_registered(given: str, run: Run, pytester: pytest.Pytester) -> None:
    """And trained no second time."""
    on_digits(write_claim(pytester.path / "claims", "varied"))
    run(f"--report={pytester.path / 'first'}", "--seed=900460")
    result = run(given, f"--report={pytester.path / 'second'}", "--seed=900460")
    result.stdout.fnmatch_lines(["Nothing to train: *"])
    first, second = (read_evidence(pytester.path / name).claims[0] for name in ("first", "second"))
    assert (second.variation, second.findings) == ("", first.findings)


@pytest.mark.parametrize(
    ("keeps", "complaint"),
    [("{'depth': 'x'}", "KEEPS={'depth': 'x'} must give reasons by names among norm"), ("3", "KEEPS=3 must")],
)
def test_what_keeps_says_is_checked(keeps: str, complaint: str, run: Run, pytester: pytest.Pytester) -> None:
    path = write_claim(pytester.path / "claims", "varied")
    path.write_text(path.read_text() + f"\nKEEPS = {keeps}\n")
    result = run("--norm=group")
    assert complaint in result.stdout.str() + result.stderr.str()


def test_a_wrong_choice_is_one_line(run: Run, pytester: pytest.Pytester) -> None:
    on_digits(write_claim(pytester.path / "claims", "varied"))
    path = npz_at(pytester.path)
    given = {"images": np.zeros((4, 3, 2)), "labels": np.ones(4), "test_images": np.ones(4), "test_labels": np.ones(4)}
    np.savez(path, **given)
    own = pytester.path / "brought_by_option.py"
    step = "def step(self, weights, gradients, state, learning_rate, weight_decay): return weights[:1], state"
    own.write_text(f"import ilr\n\n@ilr.record\nclass BroughtByOption(ilr.Optimizer):\n    {step}\n")
    for option in (f"--data={path}", "--norm=what", "--momentum=2", f"--optimizer={own}:BroughtByOption"):
        result = run(option)
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        lines = [line for line in result.stderr.lines if line.strip()]
        assert len(lines) == 1
        assert lines[0].startswith(f"ERROR: {option[:12]}")
    assert not (pytester.path / "reports").exists()


def test_every_axis_is_an_option_and_a_field() -> None:
    from ilr.session.options import Options, table

    assert set(AXES) <= set(table())
    assert not Options().variation
    assert Options(norm=AXES["norm"].check("group")).variation == variation(norm="group")
