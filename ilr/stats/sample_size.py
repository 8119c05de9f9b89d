"""How many replicas to train: the smallest effect that so many detect, and the replicas that detect a given one.

Three things decide that: the prediction, what is known of the replicas beforehand (their *spread*, from theory or from
a pilot), and how many there are.

| rule | spread |
|---|---|
| `equivalence`, `at_least`, `at_most` | `OneGroup`: the standard deviation of a replica |
| `slope`, `increasing` | `OneGroup`: that of a replica's slope, or rank correlation (1 / √(k - 1) without a trend) |
| `equivalence_of_groups` | `TwoGroups`: the standard deviation of a replica of each |
| `ratio` | `TwoGroups`: the same in units of the reference's mean |
| `quantile_at_least` | `Share`: how many of the networks are to reach the bound |
| `share_at_least`, `universal` | `None`: nothing need be known |
| `closer_than`, `further_than`, `differ` | `function_space.noise_of` a pilot |
| `power_law` | `Places`: x, and the standard deviation of a replica's log t |

An effect is a distance of the truth from the nearest edge of the accepted range: outside it to be REFUTED, inside it to
be REPRODUCED. It has the unit of the prediction, but for two rules it is a share of the networks: for
`quantile_at_least` how far the share that reach the bound is from the one asked for, for `universal` the share that
violate the identity. Infinity means that no truth is given this verdict as often as that: `differ` never refutes, a
range of no width is never reproduced. As everywhere replicas are planned for the strictest level Holm can ask for.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import NoneType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize

from ilr.stats import function_space, jackknife
from ilr.stats.decision import Prediction, Verdict
from ilr.stats.function_space import LARGEST, Noise
from ilr.stats.power import (
    Edge,
    Floats,
    SignedEdge,
    fewest_of_any,
    fewest_replicas,
    inside_chance,
    outside_chance,
    pooled,
    share_chances,
)
from ilr.stats.rules import Region, above, below, check_share, unviolated, within

TINY = 1e-15
"""The search for an effect begins here; a smaller one is found as well."""
ROUNDED_UP = 1 + 1e-9
"""An effect is reported so much larger than it is, lest rounding make it undetectable."""


@dataclass(frozen=True)
class OneGroup:
    """One number per replica, of this standard deviation."""

    deviation: float

    def __post_init__(self) -> None:
        _check_positive("the standard deviation", self.deviation)

    def edge(self, distance: float, replicas: float, kind: type[Edge] = Edge) -> Edge:
        """What to expect of a mean so far inside an edge."""
        return kind(distance, self.deviation / math.sqrt(replicas), replicas - 1)


@dataclass(frozen=True)
class TwoGroups:
    """Standard deviations of the replicas of a group and of its reference, and the proportion of their numbers."""

    deviations: tuple[float, float]
    proportion: tuple[float, float] = (1.0, 1.0)
    """Replicas are counted in the smaller group."""

    def __post_init__(self) -> None:
        _check_positive("the standard deviation", *self.deviations)
        _check_positive("the proportion of the groups", *self.proportion)

    def sizes(self, replicas: int) -> tuple[float, float]:
        """The numbers of replicas of the two groups."""
        group, reference = (replicas * part / min(self.proportion) for part in self.proportion)
        return group, reference

    def edge(self, distance: float, replicas: int, multiple: float = 1.0) -> Edge:
        """What to expect of a mean less a multiple of the reference's, so far inside an edge."""
        sizes, (group, reference) = self.sizes(replicas), self.deviations
        return Edge(distance, *pooled([group**2 / sizes[0], (multiple * reference) ** 2 / sizes[1]], sizes))


@dataclass(frozen=True)
class Share:
    """The share of the networks that `quantile_at_least` asks for."""

    share: float


@dataclass(frozen=True)
class Places:
    """The places x of a power law's groups, equal in size, and the standard deviation of log t for one replica.

    The log t of n replicas is taken to vary as a mean does: with this standard deviation over √n.
    """

    x: Sequence[float]
    deviation: float

    def __post_init__(self) -> None:
        _check_positive("the standard deviation", self.deviation)
        _check_positive("x", *self.x)
        if len(set(self.x)) < 2:
            raise ValueError(f"x={self.x}: a slope needs two different places")

    def edge(self, distance: float, replicas: int) -> Edge:
        """What to expect of an exponent so far inside an edge."""
        errors = jackknife.log_log_weights(np.asarray(self.x, np.float64)) * self.deviation
        return Edge(distance, *pooled((errors**2 / replicas).tolist(), [replicas] * len(errors)))


Spread = OneGroup | TwoGroups | Share | Places | Noise | None


@dataclass(frozen=True)
class _Plan:
    """How likely each verdict is, for truths at a distance from the edge."""

    chance: Callable[[Verdict, float, Any], Any]
    """Of the verdict, the distance and the number of replicas."""
    inside: float
    """How much room there is for truths inside the accepted range, from its edge on; negative if there is none."""
    outside: float
    """The same outside."""
    fewest: int = 2
    """No decision with fewer replicas."""
    jagged: bool = False
    """The chance does not always rise with the number of replicas, of which it then takes an array as well."""

    def furthest(self, verdict: Verdict) -> float:
        """No truth lies further off the edge, on the side that the verdict is about."""
        return max(self.inside if verdict is Verdict.REPRODUCED else self.outside, 0.0)


def smallest_detectable(
    prediction: Prediction, spread: Spread, replicas: int, verdict: Verdict = Verdict.REFUTED
) -> float:
    """How far outside the accepted range the truth must lie for so many replicas to refute it at `prediction.power`.

    With the verdict REPRODUCED: how far inside it must lie to be reproduced as often. Infinite if no truth is.

    Raises:
        ValueError: the rule is not one of those above, or is planned with another spread; the verdict is neither of the
            two; or there are fewer replicas than the rule needs.
    """
    plan = _plan(prediction, spread, verdict)
    if replicas < plan.fewest:
        raise ValueError(f"{prediction.quantity!r} has {replicas} replica(s): a decision needs at least {plan.fewest}")
    furthest = plan.furthest(verdict)

    def excess(distance: float) -> float:
        return float(plan.chance(verdict, distance, replicas)) - prediction.power

    if excess(0.0) >= 0:
        return 0.0
    # The chance rises with the distance: double it until it is enough.
    enough = min(TINY, furthest)
    while excess(enough) < 0:
        if enough >= furthest:
            return math.inf
        enough = min(2 * enough, furthest)
    return min(float(optimize.brentq(excess, 0.0, enough, xtol=TINY**2, rtol=1e-12)) * ROUNDED_UP, furthest)


def replicas_for(
    prediction: Prediction, spread: Spread, distance: float, verdict: Verdict = Verdict.REFUTED
) -> int | None:
    """The fewest replicas whose `smallest_detectable` is at most `distance`; `None` if no number is enough.

    Raises:
        ValueError: as for `smallest_detectable`, and where the distance is negative.
    """
    plan = _plan(prediction, spread, verdict)
    if not distance >= 0:
        raise ValueError(f"{prediction.quantity!r} is planned for the distance {distance}, which must not be negative")
    # A truth further off than any is found as often as the furthest one.
    chance_of = partial(plan.chance, verdict, min(distance, plan.furthest(verdict)))
    if plan.jagged:
        return fewest_of_any(prediction.power, chance_of)
    return fewest_replicas(prediction.power, chance_of, plan.fewest)


def _plan(prediction: Prediction, spread: Spread, verdict: Verdict) -> _Plan:
    if prediction.rule not in PLANS:
        raise ValueError(
            f"{prediction.quantity!r} is decided by {prediction.rule!r}, which has no plan; choose from "
            f"{', '.join(PLANS)}"
        )
    kind, plan = PLANS[prediction.rule]
    if not isinstance(spread, kind):
        raise ValueError(
            f"{prediction.quantity!r}: plan {prediction.rule!r} with {kind.__name__.removesuffix('Type')}, not {spread}"
        )
    if verdict not in (Verdict.REPRODUCED, Verdict.REFUTED):
        raise ValueError(f"{prediction.quantity!r} is planned to be REPRODUCED or REFUTED, not {verdict}")
    return plan(prediction, spread)


def _check_positive(what: str, *values: float) -> None:
    for value in values:
        if not 0 < value < math.inf:
            raise ValueError(f"{what} is {value:g}, not a positive number")


def _of_edges(
    prediction: Prediction, region: Region, edge: Callable[[float, float, int], Edge], *others: Callable[[int], Edge]
) -> _Plan:
    """Of t tests at the ends of a region; `edge` takes a distance, the end and the replicas.

    REPRODUCED asks for the `others` as well.
    """
    lower, upper = region
    alpha, width = prediction.strictest_alpha, upper - lower
    # A truth may be near either end, and is to be found wherever it is.
    sides = [(near, far) for near, far in ((lower, upper), (upper, lower)) if math.isfinite(near)]

    def chance(verdict: Verdict, distance: float, replicas: int) -> float:
        def on_side(near: float, far: float) -> float:
            inside = distance if verdict is Verdict.REPRODUCED else -distance
            edges = edge(inside, near, replicas), edge(width - inside, far, replicas)
            if verdict is Verdict.REFUTED:
                return outside_chance(edges, alpha)
            return inside_chance([*edges, *(other(replicas) for other in others)], alpha)

        return min(on_side(near, far) for near, far in sides)

    return _Plan(chance, inside=width / 2, outside=math.inf)


def _of_mean(region_of: Callable[[Prediction], Region], prediction: Prediction, spread: Any) -> _Plan:
    return _of_edges(prediction, region_of(prediction), lambda distance, _, replicas: spread.edge(distance, replicas))


def _of_power_law(prediction: Prediction, spread: Places) -> _Plan:
    return replace(_of_mean(within, prediction, spread), fewest=jackknife.FEWEST)


def _of_ratio(prediction: Prediction, spread: TwoGroups) -> _Plan:
    return _of_edges(
        prediction,
        within(prediction),
        lambda distance, end, replicas: spread.edge(distance, replicas, end),
        lambda replicas: OneGroup(spread.deviations[1]).edge(1.0, spread.sizes(replicas)[1]),
    )


def _of_trend(prediction: Prediction, spread: OneGroup) -> _Plan:
    region = above(prediction)
    plan = _of_edges(prediction, region, lambda distance, _, replicas: spread.edge(distance, replicas, SignedEdge))
    return replace(plan, inside=1 - region[0], outside=1 + region[0])


def _of_share(prediction: Prediction, _: None) -> _Plan:
    return _of_counts(prediction, above(prediction)[0])


def _of_quantile(prediction: Prediction, spread: Share) -> _Plan:
    return _of_counts(prediction, spread.share)


def _of_counts(prediction: Prediction, share: float) -> _Plan:
    check_share(prediction, share)

    def chance(verdict: Verdict, distance: float, sizes: ArrayLike) -> Floats:
        reproduced = verdict is Verdict.REPRODUCED
        truth = min(share + distance, 1.0) if reproduced else max(share - distance, 0.0)
        return share_chances(share, truth, sizes, prediction.strictest_alpha)[reproduced]

    return _Plan(chance, inside=1 - share, outside=share, jagged=True)


def _of_identity(prediction: Prediction, _: None) -> _Plan:
    def chance(verdict: Verdict, distance: float, replicas: int) -> float:
        if verdict is Verdict.REPRODUCED:
            return float(unviolated(replicas) <= prediction.strictest_alpha)
        return 1 - (1 - distance) ** replicas

    return _Plan(chance, inside=0.0, outside=1.0)


def _of_distance(region_of: Callable[[Prediction], Region], prediction: Prediction, noise: Noise) -> _Plan:
    lower, upper = region_of(prediction)
    is_lower = math.isfinite(lower)
    bound = lower if is_lower else upper
    room = LARGEST - bound, bound

    def chance(verdict: Verdict, distance: float, replicas: int) -> float:
        # To be further than the bound is to be inside a region above it, and outside one below it.
        further = is_lower is (verdict is Verdict.REPRODUCED)
        truth = bound + distance if further else bound - distance
        linear = float(noise.linear(truth)) * noise.replicas / replicas
        return noise.planned(replicas).decided(truth, linear, bound, prediction.strictest_alpha)[further]

    inside, outside = room if is_lower else room[::-1]
    return _Plan(chance, inside, outside, function_space.FEWEST)


def _of_difference(prediction: Prediction, noise: Noise) -> _Plan:
    def chance(verdict: Verdict, distance: float, replicas: int) -> float:
        noticed = noise.planned(replicas).noticed(distance, prediction.strictest_alpha)
        return noticed if verdict is Verdict.REPRODUCED else 0.0

    return _Plan(chance, inside=LARGEST, outside=0.0, fewest=function_space.FEWEST)


PLANS: dict[str, tuple[type, Callable[[Prediction, Any], _Plan]]] = {
    "equivalence": (OneGroup, partial(_of_mean, within)),
    "at_least": (OneGroup, partial(_of_mean, above)),
    "at_most": (OneGroup, partial(_of_mean, below)),
    "slope": (OneGroup, partial(_of_mean, within)),
    "increasing": (OneGroup, _of_trend),
    "equivalence_of_groups": (TwoGroups, partial(_of_mean, within)),
    "ratio": (TwoGroups, _of_ratio),
    "share_at_least": (NoneType, _of_share),
    "quantile_at_least": (Share, _of_quantile),
    "universal": (NoneType, _of_identity),
    "closer_than": (Noise, partial(_of_distance, below)),
    "further_than": (Noise, partial(_of_distance, above)),
    "differ": (Noise, _of_difference),
    "power_law": (Places, _of_power_law),
}
"""For each rule the spread it is planned with, and how."""
