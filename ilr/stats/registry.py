"""Every rule there is, by the name that predictions give."""

from collections.abc import Mapping

from ilr.stats.function_space.relative import nearer_than
from ilr.stats.function_space.rules import closer_than, further_than
from ilr.stats.jackknife import power_law
from ilr.stats.means import at_least, at_most, equivalence, equivalence_of_groups, increasing, ratio, slope
from ilr.stats.rule import Rule
from ilr.stats.shares import quantile_at_least, share_at_least, universal

ON_MEANS: tuple[Rule, ...] = equivalence, at_least, at_most, slope, increasing, equivalence_of_groups, ratio
ON_COUNTS: tuple[Rule, ...] = share_at_least, quantile_at_least, universal
ON_GROUPS: tuple[Rule, ...] = closer_than, further_than, nearer_than, power_law

RULES: Mapping[str, Rule] = {rule.name: rule for rule in (*ON_MEANS, *ON_COUNTS, *ON_GROUPS)}
