"""Writes the pages of this folder that are made from the code: `python docs/reference.py`."""

import inspect
from collections.abc import Callable
from pathlib import Path

from ilr.stats.registry import RULES
from ilr.stats.rule import Rule

FOLDER = Path(__file__).parent

_RULES = """# The rules

Made by `python docs/reference.py` from [ilr/stats/registry.py](../ilr/stats/registry.py), which lists every rule.

A rule decides whether the truth lies in the region that a prediction accepts. It takes the prediction and samples,
replica axis first: `Prediction(rule="at_least", expected=1.0, margin=0.1, ...)` is decided by `at_least(prediction,
values)`.

- `p` belongs to the hypothesis "the truth lies outside the region": small means REPRODUCED.
- `p_refuted` belongs to the hypothesis "the truth lies inside the region": small means REFUTED.
- Either error has probability alpha at most; the interval reported has confidence 1 - 2 alpha.

The replica (one seed) is the unit of analysis, always: what happens within one training is summarised before anything
is tested. How often the rules err with replicas of several distributions, and what they detect, is in
[calibration.md](calibration.md). What a rule is *planned with* is what must be known of replicas to tell how many to
train: see `smallest_detectable` and `replicas_for` in [ilr/stats/sample_size.py](../ilr/stats/sample_size.py).
"""


def rules() -> str:
    """A section for each rule: what it asks, of what, and what it is planned with."""
    return _RULES + "".join(_section(rule) for rule in RULES.values())


def _section(rule: Rule) -> str:
    lines = [
        f"## `{rule.name}`",
        "",
        _before(rule, "Raises:"),
        "",
        f"- Samples: {_samples(rule)}",
        f"- Accepts: {_lower_first(_before(rule.region, 'Args:')).removesuffix('.')}",
        f"- Planned with: {_planned_with(rule)}",
        f"- Decides on {rule.fewest} replicas or more",
    ]
    return "\n" + "\n".join(lines) + "\n"


def _samples(rule: Rule) -> str:
    """What follows the prediction in the arguments of a rule, as its documentation has it."""
    _, arguments = _documentation(rule.assess).split("Args:\n")
    described = [line.strip().removesuffix(".") for line in arguments.splitlines()]
    named = dict(line.split(": ", 1) for line in described if line)
    del named["prediction"]
    return "; ".join(f"`{name}`, {what}" for name, what in named.items())


def _planned_with(rule: Rule) -> str:
    if rule.spread is type(None):
        return "nothing, as nothing need be known"
    first_paragraph = _documentation(rule.spread).split("\n\n")[0].replace("\n", " ")
    return f"`{rule.spread.__name__}`, {_lower_first(first_paragraph).removesuffix('.')}"


def _before(documented: object, section: str) -> str:
    return _documentation(documented).partition(f"\n\n{section}")[0]


def _documentation(documented: object) -> str:
    return inspect.getdoc(documented) or ""


def _lower_first(text: str) -> str:
    return text[0].lower() + text[1:]


PAGES: dict[str, Callable[[], str]] = {"rules.md": rules}
"""What each page is made by."""


def main() -> None:
    """Writes every page."""
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
