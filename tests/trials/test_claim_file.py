"""A claim's file is judged by the rules it registered, whatever its judge yields."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from ilr import Claim, Control, Prediction, Replicas, Verdict
from ilr.report.evidence import History
from ilr.stats.groups import Group
from ilr.stats.registry import RULES
from ilr.trials.claim_file import ClaimFile
from ilr.trials.judging import MeasurementError, findings_of
from ilr.trials.outcome import Outcome
from ilr.trials.registration import load_module
from ilr.trials.sequential import SequentialTrial
from ilr.trials.testing import synthetic_recording
from tests.claim_files import write_claim


def outcome(path: Path) -> Outcome:
    trial = SequentialTrial.of(ClaimFile.of(load_module(path)), "tiny", seed=0, replicas=6)
    if not trial.decided:
        trial.look(synthetic_recording)
    return trial.outcome(synthetic_recording)


def claim(*predictions: Prediction) -> Claim:
    return Claim(
        id="norm",
        title="The norm grows",
        source="here",
        statement="Without weight decay the norm grows.",
        predictions=predictions,
        controls=(Control("decay", "No weight decay."),),
        replicas=Replicas(6, 6, 6),
    )


@pytest.mark.parametrize(
    ("judge", "complaint"),
    [
        ("yield NORM", "its judge yielded a Prediction: it must yield a prediction, followed by the samples"),
        ("yield (NORM,)", "its judge yielded a tuple: it must yield a prediction, followed by the samples"),
        ('yield "norm", [1, 2]', "its judge yielded a tuple: it must yield a prediction, followed by the samples"),
        ("yield {}, [1, 2]", "its judge yielded a tuple: it must yield a prediction, followed by the samples"),
        (
            "yield replace(NORM, quantity=['norm']), [1, 2]",
            "its judge failed: ValueError: Prediction: quantity=['norm'] must be a text",
        ),
        ("yield replace(NORM, quantity='other'), [1, 2]", "its judge found ['other', 'norm'], but the claim predicts"),
        ("yield NORM, [1, 2]", "its judge found ['norm', 'norm'], but the claim predicts ['norm']"),
        ("return [1]", "its judge found [], but the claim predicts ['norm']"),
        (
            "yield replace(NORM, alpha=0.1), [1, 2]",
            "its judge decided 'norm' by another expected value, margin or alpha",
        ),
        ("yield replace(NORM, rule='at_most'), [1, 2]", "its judge decided 'norm' by another expected value, margin"),
        ("yield NORM, [1, float('nan')]", "its judge failed: ValueError: 'norm' holds 1 non-finite value"),
        ("yield NORM, [1, 2], [3, 4]", "its judge failed: TypeError: "),
    ],
)
def test_an_odd_measurement_is_an_error_of_one_line(tmp_path: Path, judge: str, complaint: str) -> None:
    judged = outcome(write_claim(tmp_path, "odd", judge=judge))
    assert judged.verdict is Verdict.ERROR
    assert judged.message.startswith(complaint)
    assert "\n" not in judged.message


def test_the_registered_prediction_decides_with_its_family() -> None:
    norm = Prediction("norm", "at_least", 1.0, 0.0, reason="no decay")
    both = claim(norm, replace(norm, quantity="growth"))
    values = np.array([1.5, 1.75, 2.0])
    findings, _ = findings_of(both, [(norm, values), (both["growth"], values + 1)])
    assert findings == [RULES["at_least"](both["norm"], values), RULES["at_least"](both["growth"], values + 1)]


def test_each_measurement_is_decided_as_it_is_yielded() -> None:
    exponents = [Prediction(f"exponent {b}", "power_law", float(b), 0.1, reason="exact") for b in (1, 2)]

    groups = [Group(np.full(4, k), range(4)) for k in (1, 2, 4)]

    def judge():
        for b, exponent in enumerate(exponents, start=1):
            yield exponent, [1, 2, 4], lambda group: float(group.mean()) ** b, groups  # noqa: B023

    findings, values = findings_of(claim(*exponents), judge())
    assert [round(finding.estimate, 12) for finding in findings] == [1.0, 2.0]
    assert findings[0] == RULES["power_law"](claim(*exponents)["exponent 1"], [1, 2, 4], np.mean, groups)
    assert values["exponent 2"] == [[1, 2, 4], [[1] * 4, [2] * 4, [4] * 4]]


def test_values_are_kept_unless_they_are_classes() -> None:
    difference = Prediction("difference", "equivalence_of_groups", 0.0, 1.0, reason="close")
    distance = Prediction("distance", "closer_than", 0.0, 0.5, reason="close")
    labels = np.random.default_rng(0).integers(0, 3, (4, 20))
    single = np.array([0.25, 0.5, 0.75], np.float32)
    measurements = [
        (difference, Group(single, range(3)), Group([0.5, 1.0], range(3, 5))),
        (distance, Group(labels, range(4)), Group(labels[::-1], range(4, 8))),
    ]
    _, values = findings_of(claim(difference, distance), measurements)
    assert values == {"difference": [[0.25, 0.5, 0.75], [0.5, 1.0]], "distance": []}


def test_measurements_in_another_order_are_refused() -> None:
    one, other = (Prediction(name, "at_least", 1.0, 0.0, reason="no decay") for name in ("one", "other"))
    with pytest.raises(MeasurementError, match=r"found \['other', 'one'\], but the claim predicts \['one', 'other'\]"):
        findings_of(claim(one, other), [(other, [1, 2]), (one, [1, 2])])


def test_an_outcome_has_plan_values_and_history(tmp_path: Path) -> None:
    path = write_claim(tmp_path, "reproduced")
    (tmp_path / "history").mkdir()
    (tmp_path / "history" / "reproduced.toml").write_text('notes = ["It grew before."]\n')
    judged = outcome(path)
    assert judged.history == History(notes=("It grew before.",))
    assert list(judged.planned.experiments) == ["run"]
    assert list(judged.planned.controls) == ["decay"]
    assert judged.planned.all() == (judged.planned.experiments["run"], judged.planned.controls["decay"]["run"])
    [norms] = judged.values["norm"]
    recorded = synthetic_recording(judged.planned.experiments["run"])
    assert norms == recorded.final("weight_norm").tolist()
    assert judged.controls["decay"].values["norm"] == judged.values["norm"]


def test_a_judge_has_one_blas_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "blas.py").write_text(
        "from threadpoolctl import threadpool_info\n"
        "def threads(): return {one['num_threads'] for one in threadpool_info() if one['user_api'] == 'blas'}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with threadpool_limits(2):
        before = threadpool_info()
        judged = outcome(write_claim(tmp_path, "threads", judge="import blas; assert blas.threads() == {1}"))
        assert judged.verdict is not Verdict.ERROR, judged.message
        assert threadpool_info() == before
