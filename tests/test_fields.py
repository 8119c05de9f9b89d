"""Records are held to their annotations when they are built: what means the same is taken, all else is one line."""

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ilr.experiments.architectures import MLP, Toy
from ilr.experiments.experiment import Experiment, Observe
from ilr.experiments.norms import NoNorm
from ilr.experiments.schedules import Constant, Cosine, Exponential, Phases, StepDecay, WarmupLinear
from ilr.serialization import digest, from_json, to_json
from ilr.stats.decision import Finding, Prediction
from ilr.trials.claim import Replicas

FEW = settings(max_examples=25, deadline=None)


def toy(**changes: object) -> Experiment:
    given = {
        "net": Toy(), "norm": NoNorm(), "learning_rate": 0.1, "weight_decay": 0.0, "steps": 20, "replicas": 8,
        "seed": 0, "observe": (Observe("weight_norm", (20,)),),
    }  # fmt: skip
    return Experiment(**given | changes)


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        (toy(steps=np.int64(20), seed=np.uint8(0), replicas=np.int32(8)), toy()),
        (toy(observe=[Observe("weight_norm", [20])]), toy()),
        (toy(observe=[Observe("weight_norm", np.array([20]))]), toy()),
        (toy(learning_rate=np.float64(0.1)), toy(learning_rate=Constant(0.1))),
        (toy(learning_rate=Constant(Fraction(1, 4))), toy(learning_rate=0.25)),
        (MLP([8, 8]), MLP((8, 8))),
        (Phases([0.5, np.float32(0.25)], lengths=[2]), Phases((0.5, 0.25), lengths=(2,))),
        (Replicas(tiny=[8, 16]), Replicas(tiny=(8, 16))),
    ],
    ids=str,
)
def test_what_means_the_same_is_the_same_record(given: object, plain: object) -> None:
    assert given == plain
    assert digest(given) == digest(plain)
    assert from_json(to_json(given)) == plain


@pytest.mark.parametrize(
    ("build", "complaint"),
    [
        (lambda: Constant(math.nan), r"Constant: value=nan must be a finite number"),
        (lambda: Constant(10**400), r"Constant: value=1000.*… must be a finite number"),
        (lambda: Constant("0.1"), r"Constant: value='0.1' must be a finite number"),
        (lambda: Constant(np.float64("inf")), r"Constant: value=.*inf.* must be a finite number"),
        (lambda: Constant(True), r"Constant: value=True must be a finite number"),
        (lambda: Constant(torch.tensor(0.1)), r"Constant: value=tensor\(.*\) must be a finite number"),
        (lambda: toy(net=torch.nn.Linear(2, 2)), r"Experiment: net=Linear\(.*\) must be Net"),
        (lambda: toy(net=MLP), r"Experiment: net=<class .*MLP'> must be Net"),
        (lambda: toy(learning_rate={"a": 1}), r"Experiment: learning_rate=\{'a': 1\} must be Schedule or a finite"),
        (lambda: toy(learning_rate=[0.1, 0.2]), r"learning_rate=\[0.1, 0.2\] must be Schedule or a finite number"),
        (lambda: toy(steps=20.0), r"Experiment: steps=20.0 must be a whole number"),
        (lambda: toy(seed=True), r"Experiment: seed=True must be a whole number"),
        (lambda: toy(precision="float16"), r"precision='float16' must be 'float32' or .* 'bfloat16'"),
        (lambda: toy(observe=Observe("weight_norm", (20,))), r"observe=Observe.* must be a tuple of: Observe, …"),
        (lambda: toy(trainable_head="no"), r"trainable_head='no' must be True or False"),
        (lambda: MLP(8), r"MLP: widths=8 must be a tuple of: a whole number, …"),
        (lambda: MLP("88"), r"MLP: widths='88' must be a tuple of"),
        (lambda: MLP({8, 9}), r"MLP: widths=\{.*\} must be a tuple of"),
        (lambda: Prediction("x", "at_least", 1.0, math.inf, reason="r"), r"Prediction: margin=inf must be a finite"),
        (lambda: Prediction("x", "at_least", 1.0, 0.1, reason=None), r"Prediction: reason=None must be a text"),
        (lambda: Replicas(tiny=10**9), r"replicas tiny=1000000000: 10,000 are the most"),
    ],
)  # fmt: skip
def test_what_a_field_does_not_take_is_one_line(build: object, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint) as raised:
        build()  # type: ignore[operator]
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 300


def test_a_finding_is_finite() -> None:
    with pytest.raises(ValueError, match="Finding: estimate=nan must be a finite number"):
        Finding("x", math.nan, (0.0, 1.0), 1.0, 0.1, (None, 1.0), "rule", 0.005, 8, 0.5, 0.5, "REFUTED")  # type: ignore[arg-type]


ANYTHING = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.binary(max_size=3),
    st.lists(st.one_of(st.integers(-3, 30), st.floats(), st.none()), max_size=4),
    st.dictionaries(st.text(max_size=2), st.integers(), max_size=2),
    st.sampled_from([object(), np.float32("nan"), np.array(3), np.arange(3), torch.zeros(2), Toy, Toy(), range(4)]),
)  # fmt: skip


@FEW
@given(st.sampled_from([field for field in Experiment.__dataclass_fields__ if field != "precision"]), ANYTHING)  # type: ignore[attr-defined]
def test_an_experiment_is_built_or_refused_in_one_line(field: str, value: object) -> None:
    try:
        built = replace(toy(), **{field: value})
    except ValueError as error:
        assert "\n" not in str(error)  # noqa: PT017
    else:
        assert from_json(to_json(built)) == built
        assert digest(built) == digest(from_json(to_json(built)))


RATE = st.floats(0, 10)
SCHEDULES = st.one_of(
    st.builds(Constant, RATE),
    st.builds(StepDecay, RATE, st.floats(0.01, 1), st.lists(st.integers(0, 30), max_size=3)),
    st.builds(Cosine, RATE, st.integers(1, 30), RATE),
    st.builds(lambda peak, warmup, rest: WarmupLinear(peak, warmup, warmup + rest), RATE, *[st.integers(1, 9)] * 2),
    st.builds(Exponential, RATE, st.floats(0.9, 1.1)),
)


@FEW
@given(st.lists(st.tuples(SCHEDULES, st.integers(1, 9)), min_size=1, max_size=3), st.integers(1, 40))
def test_a_schedule_has_a_number_for_every_step_and_is_its_own_beginning(
    parts: list[tuple[Constant, int]], steps: int
) -> None:
    phases = Phases([one for one, _ in parts], [length for _, length in parts[:-1]])
    values = phases.values(steps)
    assert values.shape == (steps,)
    assert np.isfinite(values).all()
    np.testing.assert_array_equal(values[: steps // 2], phases.values(steps // 2))
    assert from_json(to_json(phases)) == phases
