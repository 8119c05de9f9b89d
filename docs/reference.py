"""Writes the pages of this folder that are made from the code: `python docs/reference.py`."""

import ast
import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from ilr.experiments.quantities import QUANTITIES, Quantity
from ilr.report import evidence
from ilr.stats.decision import Verdict
from ilr.stats.registry import RULES
from ilr.stats.rule import Rule
from ilr.training.metrics import EVALUATION_EXAMPLES, PROBE_EXAMPLES

FOLDER = Path(__file__).parent

_QUANTITIES = f"""# What can be observed

Made by `python docs/reference.py` from the table in [ilr/experiments/quantities.py](../ilr/experiments/quantities.py).

`Observe("weight_norm", range(101))` keeps ‖w‖ at steps 0 to 100; a recording then has it as an array [replica, time]. A
quantity has the axes of the table behind these two. What is observed at step t is the state before the update of that
step, so step 0 is the initialisation and, of a run of T steps, step T the end; or it is something of the step itself.

w are the trainable weights, η is the learning rate, L the loss of a batch. Loss and accuracy on training examples are
those of the first {EVALUATION_EXAMPLES:,}, which also give an evaluation its normalisation statistics. The rescaling
quantities compare each factor c with 1 on the first {PROBE_EXAMPLES} training examples; u is a random direction. The
dtype "training" is the experiment's precision; the toy loss has float64 alone.

Quantities with the same cost share it where they are observed at the same step. One evaluation is a forward pass of all
test examples, and of those training examples where the norm needs their statistics.

"""

_OBSERVED_AT = {"state": "0 to T", "step": "0 to T − 1", "rescaling": "0 to T, with factors"}


def quantities() -> str:
    """The table of quantities."""
    columns = ("quantity", "formula", "unit", "axes", "dtype", "steps", "costs", "toy")
    rows = [columns, ("---",) * len(columns), *(_cells(quantity) for quantity in QUANTITIES.values())]
    return _QUANTITIES + "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _cells(quantity: Quantity) -> tuple[str, ...]:
    return (
        f"`{quantity.name}`",
        quantity.formula.replace("|", "\\|"),
        quantity.unit,
        ", ".join(quantity.axes),
        quantity.dtype,
        _OBSERVED_AT[quantity.needs.kind],
        quantity.needs.cost,
        "yes" if quantity.toy else "",
    )


_RULES = """# The rules

Made by `python docs/reference.py` from [ilr/stats/registry.py](../ilr/stats/registry.py), which lists every rule.

A rule decides whether the truth lies in the region that a prediction accepts. It takes the prediction and samples,
replica axis first: `Prediction(rule="at_least", expected=1.0, margin=0.1, ...)` is decided by `at_least(prediction,
values)`.

- `p` belongs to the hypothesis "the truth lies outside the region": small means REPRODUCED.
- `p_refuted` belongs to the hypothesis "the truth lies inside the region": small means REFUTED.
- Either error has probability alpha at most; the interval reported has confidence 1 - 2 alpha.

Rules on means test with Student's t and with Hall's, which allows for the skewness of replicas, and the larger p-value
counts. Where all replicas are alike it is at least 0.9ⁿ: so often n of them would show none of the networks that differ
if one in ten did. No rule on means sees rare outliers among replicas that scatter: where few networks fail, ask for a
share or a quantile.

What compares groups takes each of them as a `Group`, `ilr.group(recording, values)`: it knows which replicas they are.
Groups of the same replicas are compared in pairs, groups that share none are independent, and anything else is refused.

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


def evidence_schema() -> str:
    """The JSON Schema of evidence.json, with what the source says of each field."""
    schema = msgspec.json.schema(evidence.Evidence)
    said = _docstrings()
    for kind, definition in schema["$defs"].items():
        if "properties" in definition:
            # Defaults are for reading schema 1: what is written has every field.
            definition["required"] = list(definition["properties"])
        for field, text in said.get(kind, {}).items():
            definition["properties"][field]["description"] = text
    about: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "evidence.json, schema 2",
    }
    return json.dumps(about | schema, indent=1, ensure_ascii=False) + "\n"


def _docstrings() -> dict[str, dict[str, str]]:
    """The string below each field, by class and field; Python itself does not keep them."""
    said: dict[str, dict[str, str]] = {}
    for node in ast.parse(inspect.getsource(evidence)).body:
        if not isinstance(node, ast.ClassDef):
            continue
        fields = said.setdefault(node.name, {})
        for field, after in zip(node.body, node.body[1:], strict=False):
            match field, after:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                    fields[name] = " ".join(text.split())
    return said


_EVIDENCE = """# evidence.json

Made by `python docs/reference.py` from [ilr/report/evidence.py](../ilr/report/evidence.py); the same as
[JSON Schema](evidence.schema.json).

Everything a run found, as plain data: the page, the JUnit XML, the summary, comparisons and exports are made from it
alone. The file holds one `Evidence`. This is schema 2, whose files have every field. Those of schema 1 are read, too:
fields that they lack are empty. `null` as an end of a range means that it is open. A Verdict is one of these texts:
"""
_EVIDENCE += (
    ", ".join(f"`{verdict}`" for verdict in Verdict)
    + """.

"""
)


def evidence_fields() -> str:
    """A table for each kind of object in evidence.json."""
    schema = json.loads(evidence_schema())
    text = _EVIDENCE
    for kind, definition in schema["$defs"].items():
        if "properties" not in definition:
            continue
        text += f"## {kind}\n\n"
        if said := _documentation(getattr(evidence, kind)):
            text += said.split("\n\n")[0] + "\n\n"
        text += "| field | type | meaning |\n| --- | --- | --- |\n"
        for name, field in definition["properties"].items():
            text += f"| `{name}` | {_type(field)} | {field.get('description', '').replace('|', chr(92) + '|')} |\n"
        text += "\n"
    return text.rstrip() + "\n"


def _type(field: dict[str, Any]) -> str:
    """What JSON a field holds, in words."""
    match field:
        case {"$ref": reference}:
            name = reference.rpartition("/")[2]
            has_section = hasattr(getattr(evidence, name, None), "__struct_fields__")
            return f"[{name}](#{name.lower()})" if has_section else name
        case {"anyOf": kinds}:
            return " or ".join(_type(kind) for kind in kinds)
        case {"enum": values}:
            return " or ".join(f"`{json.dumps(value)}`" for value in values)
        case {"type": "array", "prefixItems": items}:
            return f"[{', '.join(_type(item) for item in items)}]"
        case {"type": "array", "items": dict(items)}:
            return f"array of {_type(items)}"
        case {"type": "object", "additionalProperties": dict(values)}:
            return f"object of {_type(values)}"
        case {"type": "string", "format": form}:
            return f"string, {form}"
        case {"type": kind}:
            return str(kind)
    return "any"


PAGES: dict[str, Callable[[], str]] = {
    "quantities.md": quantities,
    "rules.md": rules,
    "evidence.md": evidence_fields,
    "evidence.schema.json": evidence_schema,
}
"""What each page is made by."""


def main() -> None:
    """Writes every page."""
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
