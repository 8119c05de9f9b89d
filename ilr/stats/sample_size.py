"""How many replicas to train: the smallest effect that n replicas detect, and how many detect a given one.

Three things decide that: the prediction, what is known of the replicas beforehand (their *spread*, from theory or from
a pilot: see `spread` and `known` of a rule, or docs/rules.md), and how many there are.

An effect is a distance of the truth from the nearest edge of the accepted range: outside it to be REFUTED, inside it to
be REPRODUCED. It has the unit of the prediction, but for two rules it is a share of the networks: for
`quantile_at_least` how far the share that reach the bound is from the one asked for, for `universal` the share that
violate the identity. Infinity means that no truth is given this verdict as often as that: a range of no
width is never reproduced. To be refuted replicas are planned for the strictest level Holm can ask for.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from scipy import optimize

from ilr.stats.decision import Prediction, Verdict
from ilr.stats.function_space.noise import DistanceNoise
from ilr.stats.function_space.relative import Yardstick
from ilr.stats.jackknife import Places
from ilr.stats.registry import RULES
from ilr.stats.rule import Rule
from ilr.stats.shares import Share
from ilr.stats.t_tests import OneGroup, TwoGroups

Spread = OneGroup | TwoGroups | Share | Places | DistanceNoise | Yardstick | None

TINY = 1e-15
"""The search for an effect begins here; a smaller one is found as well."""
ROUNDED_UP = 1 + 1e-9
"""An effect is reported so much larger than it is, lest rounding make it undetectable."""


@dataclass(frozen=True)
class Detection:
    """How likely a rule gives one verdict, for truths off the edge of its region on the side of that verdict."""

    rule: Rule
    furthest: float
    """No truth lies further off the edge."""
    chance: Callable[[float, Any], Any]
    """By the distance from the edge and the number of replicas."""


def smallest_detectable(
    prediction: Prediction, spread: Spread, replicas: int, verdict: Verdict = Verdict.REFUTED
) -> float:
    """How far outside the accepted range the truth must lie for n replicas to refute it with `prediction.power`.

    With the verdict REPRODUCED: how far inside it must lie to be reproduced as often. Infinite if no truth is.

    >>> prediction = Prediction("growth", "at_least", expected=1.0, margin=0.0, reason="the norm does not shrink")
    >>> round(smallest_detectable(prediction, OneGroup(standard_deviation=0.3), replicas=12), 3)
    0.396

    Args:
        prediction: what is to be decided, by which rule, at which level and power.
        spread: what is known of replicas.
        replicas: their number (in the smaller group).
        verdict: REFUTED or REPRODUCED.

    Raises:
        ValueError: there is no such rule, or it is planned with another spread; the verdict is neither of the two; or
            there are fewer replicas than the rule needs.
    """
    detection = _detection(prediction, spread, verdict)
    fewest, furthest = detection.rule.fewest, detection.furthest
    if replicas < fewest:
        raise ValueError(f"{prediction.quantity!r} has {replicas} replica(s): a decision needs at least {fewest}")

    def excess(distance: float) -> float:
        return float(detection.chance(distance, replicas)) - prediction.power

    if excess(0.0) >= 0:
        return 0.0
    # The chance rises with the distance: double it until it is enough.
    enough = min(TINY, furthest)
    while excess(enough) < 0:
        if enough >= furthest:
            return math.inf
        enough = min(2 * enough, furthest)
    # Effects may be tiny in the unit of the prediction: their relative precision counts.
    found = float(optimize.brentq(excess, 0.0, enough, xtol=TINY**2, rtol=1e-12))
    return min(found * ROUNDED_UP, furthest)


def replicas_for(
    prediction: Prediction, spread: Spread, distance: float, verdict: Verdict = Verdict.REFUTED
) -> int | None:
    """The fewest replicas whose `smallest_detectable` is at most `distance`; `None` if no number is enough.

    >>> prediction = Prediction("growth", "at_least", expected=1.0, margin=0.0, reason="the norm does not shrink")
    >>> replicas_for(prediction, OneGroup(standard_deviation=0.3), distance=0.4)
    12

    Args:
        prediction: what is to be decided, by which rule, at which level and power.
        spread: what is known of replicas.
        distance: of the truth from the edge of the accepted range.
        verdict: REFUTED or REPRODUCED.

    Raises:
        ValueError: as for `smallest_detectable`, and where the distance is negative.
    """
    detection = _detection(prediction, spread, verdict)
    if not distance >= 0:
        raise ValueError(f"{prediction.quantity!r} is planned for the distance {distance}, which must not be negative")
    # A truth further off than any is found as often as the furthest one.
    chance_of = partial(detection.chance, min(distance, detection.furthest))
    return detection.rule.fewest_replicas(prediction, chance_of)


def _detection(prediction: Prediction, spread: Spread, verdict: Verdict) -> Detection:
    rule = RULES.get(prediction.rule)
    if rule is None:
        raise ValueError(
            f"{prediction.quantity!r} is decided by {prediction.rule!r}, which has no plan; choose from "
            f"{', '.join(RULES)}"
        )
    if not isinstance(spread, rule.spread):
        kind = rule.spread.__name__.removesuffix("Type")
        raise ValueError(f"{prediction.quantity!r}: plan {prediction.rule!r} with {kind}, not {spread}")
    if verdict not in (Verdict.REPRODUCED, Verdict.REFUTED):
        raise ValueError(f"{prediction.quantity!r} is planned to be REPRODUCED or REFUTED, not {verdict}")
    inside, outside = rule.room(prediction, spread)

    def chance_inside(distance: float, replicas: Any) -> Any:
        return rule.chances(prediction, spread, distance, replicas).reproduced

    def chance_outside(distance: float, replicas: Any) -> Any:
        return rule.chances(prediction, spread, -distance, replicas).refuted

    if verdict is Verdict.REPRODUCED:
        return Detection(rule, max(inside, 0.0), chance_inside)
    return Detection(rule, max(outside, 0.0), chance_outside)
