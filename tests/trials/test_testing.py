"""Our own claims keep the contract that `ilr.trials.testing` offers to any folder, and it notices those that do not."""

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from ilr.experiments.experiment import Experiment
from ilr.trials.claim import ClaimFileError, Setting
from ilr.trials.claim_file import ClaimFile
from ilr.trials.registration import claim_modules, load_module
from ilr.trials.testing import check_claim, check_folder, scales, synthetic_recording
from tests.claim_files import VARIANTS, with_literal_lengths, write_claim

CLAIMS = Path(__file__).parents[2] / "claims"


def test_ids_are_unique() -> None:
    check_folder(CLAIMS)


@pytest.mark.parametrize("module", claim_modules(CLAIMS), ids=lambda module: module.__name__)
def test_a_claim_keeps_the_contract(module: ModuleType) -> None:
    check_claim(module)


@pytest.mark.parametrize("module", claim_modules(CLAIMS), ids=lambda module: module.__name__)
def test_a_claim_of_ours_is_asked_and_says_what_differs(module: ModuleType) -> None:
    assert module.CLAIM.question
    for scale in scales(module.CLAIM):
        assert getattr(module.CLAIM.differs, scale)


def test_a_strangers_folder_can_pass(tmp_path: Path) -> None:
    for variant in ("reproduced", "refuted"):
        write_claim(tmp_path, variant, **VARIANTS[variant])
    check_folder(tmp_path)
    for module in claim_modules(tmp_path):
        check_claim(module)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('title="The norm grows"', 'title=" "', "title is empty"),
        ('title="The norm grows"', 'title="Growth", question="It grows."', "its question 'It grows.' is none"),
        ('"No weight decay."', '""', "'decay' does not say what it takes away"),
        ('"at_least"', '"at_most_maybe"', "'at_most_maybe', which is no rule; choose from at_least"),
        ("tiny=6", "tiny=None", "runs at no scale"),
        ("tiny=6", "tiny=(12, 24)", "12 replicas at tiny are not a multiple of 8"),
        (
            '"at_least", 0.9, 0.0, "as small as it gets")\n',
            '"universal", 0.0, 1.0, "as small as it gets")\nREPLICAS = Replicas(tiny=(8, 16))\n',
            "decided by counts alone, it must look once, not 2 times",
        ),
        ("seed=setting.seed", "seed=7", "does not take its seed from the setting"),
        ("steps=20", "steps=20 + id(object()) % 2**30", "two plans of one setting differ|cannot be observed|planned"),
        ("weight_decay=Constant(0.5)", "weight_decay=Constant(0.0)", "the control 'decay' changes nothing"),
        ('return {"run": replace', 'return {"other": replace', "has other experiments than the claim"),
        (
            "    pass\n",
            '    recordings["run"].arrays["weight_norm"][:] = 2\n',
            "the judge changes 'weight_norm'",
        ),
        ("    pass\n", "    import random; NORM = NORMS[random.random()]\n", "name 'NORMS' is not defined"),
        (
            "yield NORM, ",
            "NORM, [1, 2]\n    yield from () and ",
            "findings are not",
        ),
        ('new_figure("Norms.")', 'new_figure("")', "the figure has no caption"),
        ('new_figure("Norms.")', 'new_figure("Norms: one grows, one not.")', "its figure says 'grows'"),
        ("axes.plot(", 'axes.set(title="Reproduced"); axes.plot(', "its figure says 'Reproduced'"),
        ("return drawn", 'axes.plot([1], label="never"); return drawn', "its figure says 'never'"),
        ("axes.plot(", "axes.no(", "has no attribute 'no'"),
        ("def figure", "def picture", r"needs a function figure\(\)"),
    ],
)
def test_a_broken_rule_is_noticed(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    path = write_claim(tmp_path, "reproduced")
    text = path.read_text()
    assert old in text
    changed = text.replace(old, new)
    if "REPLICAS" in changed:
        changed = changed.replace("replicas=Replicas(tiny=6)", "replicas=REPLICAS")
    path.write_text(changed)
    with pytest.raises((AssertionError, AttributeError, NameError, ClaimFileError), match=complaint):
        check_claim(load_module(path))


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("return 40", "return 20", "its literal lengths are those that it trains at full"),
        ("'nothing.'", "''", "trains for other lengths with --literal and does not say so"),
        ("return 40", "return 1 / 0", "could not be planned: ZeroDivisionError"),
        ("full=6", "tiny=6", "literal lengths are those of full, where it does not run"),
    ],
)
def test_literal_lengths_are_planned_and_told(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    path = with_literal_lengths(write_claim(tmp_path, "reproduced"))
    check_claim(load_module(path))
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(AssertionError, match=complaint):
        check_claim(load_module(path))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("weight_averaging_helps_within_a_run", "weight_distance_grows"),
        ("intrinsic_lr_decides", "momentum"),
    ],
)
def test_at_full_the_same_training_is_the_same_experiment(one: str, other: str) -> None:
    """Whoever changes one of two claims that share a run at full is told; the store knows only what is identical."""
    trained: list[set[Experiment]] = []
    for name in (one, other):
        file = ClaimFile.of(load_module(CLAIMS / f"test_{name}.py"))
        last = file.claim.replicas.looks("full")[-1]
        trained.append(set(file.plan(Setting("full", 1, last)).all()))
    assert trained[0] & trained[1]


def test_two_claims_of_one_name_are_noticed(tmp_path: Path) -> None:
    path = write_claim(tmp_path, "reproduced")
    path.with_name("test_reproduced_again.py").write_text(path.read_text())
    with pytest.raises(AssertionError, match="two claims are called reproduced"):
        check_folder(tmp_path)


def test_synthetic_recordings_have_the_shapes_of_real_ones(small_experiment) -> None:
    from ilr.data.dataset import load
    from ilr.training.loop import train

    [real] = train([small_experiment], load(small_experiment.data))
    synthetic = synthetic_recording(small_experiment)
    assert {name: (values.shape, values.dtype) for name, values in synthetic.arrays.items()} == {
        name: (values.shape, values.dtype) for name, values in real.items()
    }
    assert np.isfinite(synthetic["weight_norm"]).all()
