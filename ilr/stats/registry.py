"""Every rule there is, by the name that predictions give."""

from collections.abc import Callable, Mapping

from ilr.stats.decision import Finding
from ilr.stats.function_space import closer_than, differ, further_than
from ilr.stats.jackknife import power_law
from ilr.stats.rules import (
    at_least,
    at_most,
    equivalence,
    equivalence_of_groups,
    increasing,
    quantile_at_least,
    ratio,
    share_at_least,
    slope,
    universal,
)

RULES: Mapping[str, Callable[..., Finding]] = {
    "equivalence": equivalence,
    "equivalence_of_groups": equivalence_of_groups,
    "ratio": ratio,
    "at_least": at_least,
    "at_most": at_most,
    "slope": slope,
    "increasing": increasing,
    "universal": universal,
    "share_at_least": share_at_least,
    "quantile_at_least": quantile_at_least,
    "closer_than": closer_than,
    "further_than": further_than,
    "differ": differ,
    "power_law": power_law,
}
