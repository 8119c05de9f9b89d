"""Figures: SVG that is the same for the same data, and carries its caption."""

from xml.etree import ElementTree

import numpy as np

from ilr.trials.plotting import draw_band, in_style, new_figure, to_svg


def drawn(salt: str = "claim") -> str:
    with in_style():
        figure, [axes] = new_figure("What is < and > here.")
        draw_band(axes, range(5), np.arange(20.0).reshape(4, 5), "mean")
        axes.legend()
        return to_svg(figure, salt)


def test_the_same_data_gives_the_same_text() -> None:
    assert drawn() == drawn()


def test_the_caption_is_the_title() -> None:
    root = ElementTree.fromstring(drawn())
    assert root.findtext("{http://www.w3.org/2000/svg}title") == "What is < and > here."


def test_words_stay_words() -> None:
    assert ">mean<" in drawn()


def test_panels_are_side_by_side() -> None:
    figure, panels = new_figure("Three.", panels=3)
    assert len(panels) == 3
    assert figure.get_figwidth() == 12.0


def test_the_band_holds_the_middle_four_fifths() -> None:
    _, [axes] = new_figure("Band.")
    values = np.arange(11.0)[:, None] * np.ones(3)
    draw_band(axes, range(3), values, "mean")
    [band] = axes.collections
    heights = band.get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == (1.0, 9.0)
