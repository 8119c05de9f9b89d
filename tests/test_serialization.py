"""Records: hashable, and the same after a round trip through JSON."""

import json
from dataclasses import FrozenInstanceError, replace

import pytest

from ilr.experiments.architectures import CNN, Toy
from ilr.experiments.experiment import Data, Experiment, Observe
from ilr.experiments.norms import NoNorm
from ilr.experiments.schedules import Constant, Cosine, Exponential, Phases, StepDecay, WarmupLinear
from ilr.serialization import canonical, digest, from_json, record, to_json
from ilr.stats.decision import Finding, Prediction, Verdict
from ilr.trials.claim import Claim, Control, Replicas

PREDICTION = Prediction("accuracy", "equivalence", 0.9, 0.01, "because")
FINDING = Finding(
    "accuracy", 0.9, (None, 0.91), 0.9, 0.01, (0.89, 0.91), "rule", 0.005, 8, 0.001, 1.0, Verdict.REPRODUCED
)
SCHEDULES = (
    Constant(0.1),
    StepDecay(0.1, 0.1, (3, 7)),
    Cosine(1.0, 10),
    WarmupLinear(1.0, 2, 9),
    Exponential(0.1, 1.01),
    Phases((Constant(1.0), Cosine(1.0, 5)), (3,)),
)


def some_records(experiment: Experiment) -> list[object]:
    return [
        *SCHEDULES,
        experiment,
        replace(experiment, net=CNN(), weight_decay=SCHEDULES[-1], observe=(Observe("weights", range(0, 7, 2)),)),
        replace(experiment, net=Toy(), norm=NoNorm(), data=None, observe=(Observe("train_loss", (1, 2)),)),
        Data("digits", side=4),
        PREDICTION,
        FINDING,
        Claim("a-claim", "t", "s", "st", (PREDICTION,), (Control("c", "why"),), Replicas(tiny=3), "small only"),
    ]


def test_every_record_survives_a_round_trip(small_experiment: Experiment) -> None:
    for one in some_records(small_experiment):
        back = from_json(json.loads(json.dumps(to_json(one))))
        assert back == one
        assert hash(back) == hash(one)
        assert digest(back) == digest(one)


def test_records_are_frozen(small_experiment: Experiment) -> None:
    with pytest.raises(FrozenInstanceError):
        small_experiment.steps = 3  # type: ignore[misc]


def test_a_digest_depends_on_every_field(small_experiment: Experiment) -> None:
    changes = [{"steps": 7}, {"seed": 6}, {"momentum": 0.5}, {"weight_decay": Constant(0.06)}, {"replicas": 4}]
    digests = {digest(replace(small_experiment, **change)) for change in changes} | {digest(small_experiment)}
    assert len(digests) == 1 + len(changes)


def test_equal_records_have_equal_digests() -> None:
    assert Constant(1) == Constant(1.0)
    assert digest(Constant(1)) == digest(Constant(1.0))
    assert digest(Constant(1.5)) != digest(Constant(1))


def test_a_verdict_comes_back_as_a_verdict() -> None:
    assert from_json(to_json(FINDING)).verdict is Verdict.REPRODUCED


@pytest.mark.parametrize(
    ("json_form", "complaint"),
    [
        ({"record": "Nothing"}, "unknown record 'Nothing'"),
        ({"record": "Constant", "valeu": 1.0}, "record 'Constant'.*valeu"),
        ({"record": "Constant"}, "record 'Constant'.*value"),
    ],
)
def test_json_of_no_record_is_refused(json_form: object, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        from_json(json_form)


def test_what_a_record_cannot_hold_is_refused() -> None:
    with pytest.raises(TypeError, match="is nothing that a record holds"):
        to_json({1, 2})
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical(float("nan"))


def test_two_records_of_one_name_are_refused() -> None:
    class Constant:
        pass

    with pytest.raises(ValueError, match="two records are called Constant"):
        record(Constant)
