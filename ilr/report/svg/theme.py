"""The colours of figures, and the variables by which the page gives each of them a light and a dark form."""

import re

SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Okabe and Ito's colours, which stay apart for colour-blind eyes; the black is left for text."""
CONTROL = "#767676"
"""Of everything that belongs to a control."""
ACCEPTED = "#d9e5ef"
"""Of the range that was accepted beforehand."""

VARIABLES = {
    **{colour: f"--series-{number}" for number, colour in enumerate(SERIES, 1)},
    "#000000": "--ink",
    "#ffffff": "--card",
    "#b0b0b0": "--grid",
    "#cccccc": "--grid",
    "#808080": "--control",
    "#7f7f7f": "--control",
    CONTROL: "--control",
    ACCEPTED: "--band",
}
"""The variable of the page for each colour of a drawing."""

_COLOUR = re.compile(r"#[0-9a-f]{6}\b", re.IGNORECASE)


def themed(value: str) -> str:
    """A style's value in which colours are the page's variables; each keeps its own as what holds without a page.

    >>> themed("#000000")
    'var(--ink,#000000)'
    """
    return _COLOUR.sub(_variable, value)


def _variable(colour: re.Match[str]) -> str:
    text = colour.group().lower()
    return f"var({VARIABLES[text]},{text})" if text in VARIABLES else text
