"""What a rule decides, without what it tells besides: an interval, and how many replicas are needed, take most time."""

import math
from collections.abc import Iterable
from typing import Any
from unittest import mock

import numpy as np

from ilr.stats.decision import Prediction, Verdict, classify
from ilr.stats.rule import Floats, Rule

NOTHING_KNOWN = (-math.inf, math.inf)


def p_values(rule: Rule, prediction: Prediction, data_sets: Iterable[tuple[Any, ...]]) -> Floats:
    """Of the samples of every data set, [data set, (p, p_refuted)]."""
    with (
        mock.patch("ilr.stats.means._fieller", return_value=NOTHING_KNOWN),
        mock.patch("ilr.stats.function_space.noise.DistanceNoise.upper_bound", return_value=math.inf),
        mock.patch("ilr.stats.function_space.relative.Comparison.interval", return_value=NOTHING_KNOWN),
    ):
        tests = [rule.assess(prediction, *samples).test for samples in data_sets]
    return np.array([(test.p, test.p_refuted) for test in tests])


def verdicts(rule: Rule, prediction: Prediction, data_sets: Iterable[tuple[Any, ...]]) -> list[Verdict]:
    """Of the samples of every data set the verdict on this prediction alone."""
    return [classify(p, p_refuted, prediction.alpha) for p, p_refuted in p_values(rule, prediction, data_sets)]


def counts(rule: Rule, prediction: Prediction, data_sets: Iterable[tuple[Any, ...]]) -> dict[Verdict, int]:
    """How often each verdict is given."""
    given = verdicts(rule, prediction, data_sets)
    return {verdict: given.count(verdict) for verdict in Verdict}
