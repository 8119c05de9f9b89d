"""How often every rule errs, through one look and through four, and what it detects, by simulation.

`python -m tests.calibration` writes docs/calibration.md; it takes half an hour of two CPUs. With names of rules
behind it only their rows are written anew.
"""

import math
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from scipy import optimize, special, stats
from threadpoolctl import threadpool_limits

from ilr.stats.decision import Prediction, Verdict
from ilr.stats.function_space import closer_than, further_than, noise_of
from ilr.stats.function_space.relative import Yardstick, nearer_than
from ilr.stats.jackknife import Places, power_law
from ilr.stats.means import at_least, at_most, equivalence, equivalence_of_groups, increasing, ratio, slope
from ilr.stats.registry import RULES
from ilr.stats.rule import Rule
from ilr.stats.sample_size import Spread, smallest_detectable
from ilr.stats.shares import Share, quantile_at_least, share_at_least, universal
from ilr.stats.t_tests import OneGroup, TwoGroups
from tests import looks
from tests.cases import CASES, LOOK, REPLICAS, STRICT, Case, own_world, recorded_worlds
from tests.recorded import RECORDED, pool
from tests.verdicts import verdicts
from tests.worlds import NORMAL, Noise

REPRODUCED, REFUTED = Verdict.REPRODUCED, Verdict.REFUTED

PAGE = Path(__file__).parent.parent / "docs" / "calibration.md"
PLANNED = (12, 30)
"""Numbers of replicas for which it is said what they detect."""


@dataclass(frozen=True)
class Effect:
    """A rule on trial with normal replicas, whose truth is as little off the edge as they detect."""

    rule: Rule
    expected: float
    margin: float
    spread: Callable[[np.random.Generator], Spread]
    edge: float
    """As in the plan: a share for the rules that count replicas."""
    outwards: int
    """The sign of the way out of the accepted range."""
    world: Callable[[np.random.Generator, int, float], tuple[Any, ...]] | None = None
    """What n replicas give with this truth, instead of the rule's own world with normal noise."""
    data_sets: int = 2000

    def prediction(self, alpha: float) -> Prediction:
        return Prediction("quantity", self.rule.name, self.expected, self.margin, "calibration", alpha)

    def smallest(self, generator: np.random.Generator, n: int, alpha: float, verdict: Verdict) -> float:
        return smallest_detectable(self.prediction(alpha), self.spread(generator), n, verdict)

    def times_given(
        self,
        generator: np.random.Generator,
        n: int,
        alpha: float,
        verdict: Verdict,
        distance: float,
        data_sets: int | None = None,
    ) -> int:
        """How often the verdict is given, of all data sets or of so many, where the truth is so far off the edge."""
        truth = self.edge + (self.outwards if verdict is REFUTED else -self.outwards) * distance
        prediction = self.prediction(alpha)
        draw = self.world or partial(own_world(self.rule), noise=NORMAL)
        drawn = (draw(generator, n=n, truth=truth) for _ in range(data_sets or self.data_sets))
        return verdicts(self.rule, prediction, drawn).count(verdict)


def known(spread: Spread) -> Callable[[np.random.Generator], Spread]:
    return lambda _: spread


def trends(generator: np.random.Generator, n: int, truth: float) -> tuple[Any, ...]:
    """Rows whose mean rank correlation with the order of their columns is given."""
    order = np.arange(6) - 2.5

    def excess(trend: float) -> float:
        # A column's expected rank counts how likely it exceeds each of the others.
        ranks = special.ndtr((order[:, None] - order) * trend / math.sqrt(2)).sum(axis=1)
        return float((ranks * order).sum() / (order**2).sum()) - truth

    return increasing.simulate(generator, n, optimize.brentq(excess, -10, 10), NORMAL.distribution)


SHARE = 0.7


def reaching(generator: np.random.Generator, n: int, truth: float) -> tuple[Any, ...]:
    """Values of which a share reaches 0.4."""
    return 0.4 + 0.3 * (generator.standard_normal(n) + special.ndtri(truth)), SHARE


def pilot(generator: np.random.Generator) -> Spread:
    """A hundred replicas, on which it depends what is planned."""
    return noise_of(*closer_than.simulate(generator, 100, 0.0, None))


def measure(generator: np.random.Generator) -> Spread:
    """As `pilot`, with a yardstick."""
    _, _, reference, doubled = nearer_than.simulate(generator, 100, 0.0, None)
    return Yardstick.of(reference, doubled)


EFFECTS = (
    Effect(equivalence, 0.5, 0.6, known(OneGroup(0.3)), 1.1, 1),
    Effect(equivalence_of_groups, 0.5, 0.6, known(TwoGroups((0.3, 0.2))), 1.1, 1),
    Effect(ratio, 0.5, 0.3, known(TwoGroups((0.15, 0.15))), 0.8, 1),
    Effect(slope, 0.5, 0.6, known(OneGroup(math.sqrt(0.09 + 0.01 / 8.75))), 1.1, 1),
    Effect(at_least, 0.5, 0.2, known(OneGroup(0.3)), 0.3, -1),
    Effect(at_most, 0.5, 0.2, known(OneGroup(0.3)), 0.7, 1),
    Effect(increasing, 0.0, 0.0, known(OneGroup(math.sqrt(1 / 5))), 0.0, -1, trends),
    Effect(quantile_at_least, 0.5, 0.1, known(Share(SHARE)), SHARE, -1, reaching),
    Effect(share_at_least, 0.6, 0.1, known(None), 0.5, -1),
    Effect(universal, 0.0, 0.5, known(None), 0.0, 1),
    Effect(closer_than, 0.2, 0.0, pilot, 0.2, 1),
    Effect(further_than, 0.2, 0.0, pilot, 0.2, -1),
    Effect(nearer_than, 0.0, 1.5, measure, 1.5, 1),
    Effect(power_law, 1.0, 0.3, known(Places((1.0, 4.0, 16.0), 0.3)), 1.3, 1, data_sets=500),
)


# The page


def cell(count: int, data_sets: int) -> str:
    """A rate with its exact binomial interval."""
    interval = stats.binomtest(count, data_sets).proportion_ci(0.95, "exact")
    return f"{count / data_sets:.3f} [{interval.low:.3f}, {interval.high:.3f}]"


def rate(count: int, data_sets: int, alpha: float) -> str:
    """A rate, bold where its exact 95% interval lies above alpha."""
    above = stats.binomtest(count, data_sets).proportion_ci(0.95, "exact").low > alpha
    return f"**{count / data_sets:.4f}**" if above else f"{count / data_sets:.4f}"


def errors_of(case: Case, noise: Noise, n: int) -> tuple[str, str]:
    """False REPRODUCED and false REFUTED at both levels of claims, at the edge that has more."""
    generator, judged = np.random.default_rng(), [[0, 0], [0, 0]]
    for edge in case.edges:
        pairs = case.p_values(generator, noise, n, edge)  # [data set, verdict]
        for level, alpha in enumerate((STRICT, LOOK)):
            for verdict in (0, 1):
                judged[verdict][level] = max(judged[verdict][level], int((pairs[:, verdict] <= alpha).sum()))
    cells = [
        " · ".join(rate(count, case.data_sets, alpha) for count, alpha in zip(of, (STRICT, LOOK), strict=True))
        for of in judged
    ]
    # One network that violates an identity refutes it, and at the edge a fifth of the networks do.
    return cells[0], "no error" if case.rule is universal else cells[1]


def error_tables(cases: Sequence[Case], rules: Collection[str], workers: ProcessPoolExecutor) -> tuple[str, str]:
    """The rows of some rules on false REPRODUCED, and those on false REFUTED."""
    rows, keys = [], []
    for i, case in enumerate(cases):
        if case.rule.name in rules:
            rows += [(case, noise) for noise in case.noises]
            keys += [(i, j, n) for j in range(len(case.noises)) for n in REPLICAS]
    kind = "recorded" if cases is not CASES else "simulated"
    found = list(workers.map(_errors, [kind] * len(keys), keys, chunksize=1))
    tables = []
    for verdict in (0, 1):
        lines = []
        for k, (case, noise) in enumerate(rows):
            cells = [of[verdict] for of in found[k * len(REPLICAS) : (k + 1) * len(REPLICAS)]]
            rule = f"`{case.rule.name}`{f', {case.groups}' if case.groups else ''}"
            lines.append(f"| {rule} | {noise.name} | {' | '.join(cells)} |\n")
        tables.append("".join(lines))
    return tables[0], tables[1]


def _errors(kind: str, key: tuple[int, int, int]) -> tuple[str, str]:
    """In a worker, to which a case itself cannot be sent."""
    i, j, n = key
    case = CASES[i] if kind == "simulated" else _recorded()[i]
    found = errors_of(case, case.noises[j], n)
    print(case.rule.name, case.groups, case.noises[j].name, n, *found, flush=True)
    return found


@cache
def _recorded() -> tuple[Case, ...]:
    return tuple(recorded_worlds())


def lines_of_effects(rules: Collection[str], generator: np.random.Generator) -> Iterator[str]:
    for effect, n in product((one for one in EFFECTS if one.rule.name in rules), PLANNED):
        cells = []
        for verdict in (REFUTED, REPRODUCED):
            distance = effect.smallest(generator, n, STRICT, verdict)
            if distance == math.inf:
                cells += ["none", "never"]
            else:
                count = effect.times_given(generator, n, STRICT, verdict, distance)
                cells += [f"{distance:.3g}", cell(count, effect.data_sets)]
        yield f"| `{effect.rule.name}` | {n} | {effect.data_sets} | {' | '.join(cells)} |\n"


COLUMNS = f"| rule | replicas | {' | '.join(f'n = {n}' for n in REPLICAS)} |\n|---|---|{'---|' * len(REPLICAS)}\n"

HEAD = f"""# How often the rules err

Made by `python -m tests.calibration`, from seeds drawn afresh: each rule judged data sets of known truth. With the
truth at the edge of the accepted range either verdict is an error, to be given with probability α at most. Each cell
has the rate at α = {STRICT:g}, the level of a claim that looks once, and at {LOOK:g}, that of one of four looks. A rate
whose exact 95% interval lies above α is **bold**: there the rule errs more often than it says. Of a range with two
edges the one with more errors is shown, so a few rates are bold by chance.

10,000 data sets were judged, 2,000 for distances and power laws. The worlds are in
[tests/worlds.py](../tests/worlds.py) and [tests/cases.py](../tests/cases.py).

What to make of it:

- Means of replicas that are normal, or symmetric with heavy tails, are decided with at most α. So are differences of
  pairs that are such, and on the digits those of norms and of accuracies that are averaged over snapshots.
- **Skewed replicas** err towards the side that is away from their long tail, the more the fewer they are and the
  smaller α is. Hall's correction halves what Student's t errs, but does not end it: lognormal (σ = 0.5) and exponential
  replicas, and the test accuracy of a single snapshot on the digits (skewness -1.4), err with 0.013 at n = 16 and 0.010
  at n = 32; they need some 128. So through four looks a claim about such a mean errs with about 0.015. Take the
  difference of pairs at equal λₑ, an average over snapshots, a logarithm, a quantile or a share.
- **Rare outliers** cannot be seen by any test on means: where one network in ten fails and the others scatter, the ten
  or twenty replicas that show no failure look like a world without any. Where the others are all alike the floor
  0.9ⁿ under every p-value keeps the error of a mean, or of a mean difference of pairs, at α; where they are not, and
  between independent groups, nothing does. Ask for a share or a quantile there: counts are exact.
- Distances err less often than α, at few replicas far less.
- Power laws, and differences of the accuracy at one snapshot between pairs at equal λₑ, err with up to about 1.4 α.

"""


PLANNED_HEAD = f"""
## What the rules detect

The smallest effect that [ilr.stats.sample_size](../ilr/stats/sample_size.py) promises for n replicas: the truth must
lie so far outside the accepted range to be REFUTED, or so far inside to be REPRODUCED, with probability about 0.9 at
α = {STRICT:g}.
Beside it is how often the verdict was given to simulated data sets with the truth just there, with its exact 95%
interval.

Replicas are normal, of the standard deviation 0.3 where a rule is on one mean; all of these worlds are in
[tests/calibration.py](../tests/calibration.py). The effect has the unit of the prediction, but for
`quantile_at_least` it is a share of the networks (0.7 is asked for), and for `universal` the share that violate the
identity. Some plans are on the safe side: the rank correlations of `increasing` are taken to vary as they do without a
trend, and two distributions to differ in the direction with most noise, as no plan knows the direction.

| rule | n | data sets | smallest outside | there: REFUTED | smallest inside | there: REPRODUCED |
|---|---|---|---|---|---|---|
"""

RECORDED_HEAD = f"""
## In worlds made from recordings

{RECORDED} ids of networks were trained on the digits, five networks each: three learning rates at one λₑ, and λₑ times
√2 and 2. A data set draws n of these ids with replacement, so that the truth is known: it is the mean, or the distance
of the distributions, of all {RECORDED}. `nearer_than` is asked of λₑ and λₑ times √2, which are half a doubling apart.

"""


def page(rules: Collection[str], workers: ProcessPoolExecutor) -> str:
    """docs/calibration.md, with the rows of some rules."""
    generator = np.random.default_rng()
    parts = [HEAD]
    for title, cases in (("", CASES), (RECORDED_HEAD, _recorded())):
        reproduced, refuted = error_tables(cases, rules, workers)
        parts += [title, f"### False REPRODUCED\n\n{COLUMNS}{reproduced}", f"\n### False REFUTED\n\n{COLUMNS}{refuted}"]
    parts.append(looks.section(rules, workers))
    return "".join((*parts, PLANNED_HEAD, *lines_of_effects(rules, generator)))


def with_rows(page: str, others: str, rules: Collection[str]) -> str:
    """A page whose rows of some rules are those of another one."""
    of_rules = tuple(f"| `{rule}`" for rule in rules)
    rows = iter([line for line in others.splitlines() if line.startswith(of_rules)])
    return "".join(f"{next(rows) if line.startswith(of_rules) else line}\n" for line in page.splitlines())


def main() -> None:
    only = sys.argv[1:]
    if unknown := set(only) - RULES.keys():
        sys.exit(f"{', '.join(sorted(unknown))}: no such rule; choose from {', '.join(RULES)}")
    pool()  # once, before the workers are forked
    # Two workers are enough for two CPUs: threads of BLAS would wait for each other.
    with threadpool_limits(1), ProcessPoolExecutor(2, mp_context=get_context("fork")) as workers:
        made = page(only or RULES, workers)
    whole = with_rows(PAGE.read_text(encoding="utf-8"), made, only) if only else made
    PAGE.write_text(whole, encoding="utf-8")


if __name__ == "__main__":
    main()
