"""evidence.json of a run: what was asked for, what each experiment trained with, what was judged on what."""

import pytest

from ilr.report.evidence import Evidence, ExperimentEvidence
from ilr.report.files import read_evidence
from ilr.report.page.overview import warnings
from tests.claim_files import write_claim
from tests.conftest import Run

BROKEN = """
from ilr.serialization import record

@record
class Broken:
    def values(self, steps):
        raise ZeroDivisionError

CLAIM ="""


def read(pytester: pytest.Pytester) -> Evidence:
    return read_evidence(pytester.path / "reports" / "tiny")


def test_a_run_says_how_to_repeat_it(pytester: pytest.Pytester, run: Run) -> None:
    write_claim(pytester.path / "claims", "reproduced")
    write_claim(pytester.path / "claims", "other")
    run("-k", "other or no", "--seed=4", "--replicas=8", "--allow-inconclusive")
    asked = read(pytester).invocation
    assert asked.selected == ("claims", "-k", "other or no")
    assert asked.overrides == {"--replicas": "8", "--engine": "in-process", "--allow-inconclusive": ""}
    assert asked.command == (
        "pytest claims -k 'other or no' --scale=tiny --seed=4 --replicas=8 --engine=in-process --allow-inconclusive"
    )


def test_a_claim_has_its_experiments_by_name_and_the_look_that_decided(pytester: pytest.Pytester, run: Run) -> None:
    write_claim(pytester.path / "claims", "reproduced")
    run()
    found = read(pytester)
    [claim] = found.claims
    [control] = claim.controls
    assert list(claim.digests) == list(control.digests) == ["run"]
    assert {claim.digests["run"], control.digests["run"]} == set(found.experiments) == set(claim.experiments)
    assert found.experiments[control.digests["run"]].weight_decay == "0.5"
    [look] = claim.looks
    assert (look.n, look.level, look.findings) == (6, 0.005, claim.findings)


def test_a_claim_that_was_not_judged_has_no_look(pytester: pytest.Pytester, run: Run) -> None:
    write_claim(pytester.path / "claims", "crashed", judge="1 / 0")
    write_claim(pytester.path / "claims", "not-run", replicas=None)
    run()
    crashed, not_run = read(pytester).claims
    assert (crashed.looks, not_run.looks) == ((), ())
    assert list(crashed.digests) == ["run"]
    assert not_run.digests == {}


def test_what_one_machine_trained_and_judged_needs_no_warning(pytester: pytest.Pytester, run: Run) -> None:
    write_claim(pytester.path / "claims", "reproduced")
    run()
    assert warnings(read(pytester)) == []


def settings(pytester: pytest.Pytester, run: Run, *changes: tuple[str, str]) -> ExperimentEvidence:
    """What the evidence says of the experiment of a claim, with changes in the claim's file."""
    path = write_claim(pytester.path / "claims", "changed")
    text = path.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)
    run()
    found = read(pytester)
    return found.experiments[found.claims[0].digests["run"]]


def test_an_experiment_says_what_it_trained_with(pytester: pytest.Pytester, run: Run) -> None:
    found = settings(
        pytester,
        run,
        ("import Claim", "import MLP, BatchNorm, CropFlip, Data, StepDecay, Claim"),
        ("net=Toy(), norm=NoNorm()", 'net=MLP((8, 8)), norm=BatchNorm(), data=Data("digits", train=64), batch_size=16'),
        ("learning_rate=Constant(0.1)", "learning_rate=StepDecay(0.5, 0.1, (3,)), momentum=0.9"),
        ("weight_decay=Constant(0.0)", "weight_decay=Constant(0.05), augmentation=CropFlip(1)"),
    )
    assert (found.net, found.norm, found.optimiser) == ("MLP 8-8", "batch norm", "SGD, momentum 0.9")
    assert found.data == "digits, 64 examples, crop by 1 and flip"
    assert (found.learning_rate, found.weight_decay) == ("0.5, ÷10 at step 3", "0.05")
    assert found.intrinsic_learning_rate == pytest.approx((0.025, 0.0025))
    assert (found.batch_size, found.steps, found.replicas) == (16, 20, 6)


@pytest.mark.parametrize(
    "changes",
    [
        [("learning_rate=Constant(0.1), weight_decay=Constant(0.0)", "learning_rate=1e308, weight_decay=1e3")],
        [("CLAIM =", BROKEN), ("learning_rate=Constant(0.1)", "learning_rate=Broken()")],
    ],
    ids=["infinite", "failing"],
)
def test_rates_that_are_not_finite_keep_no_report_from_being_written(
    pytester: pytest.Pytester, run: Run, changes: list[tuple[str, str]]
) -> None:
    found = settings(pytester, run, *changes)
    assert found.intrinsic_learning_rate == (None, None)
    assert (found.data, found.batch_size) == ("", None)
    assert read(pytester).claims[0].verdict == "ERROR"
