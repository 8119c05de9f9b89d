"""Figures: SVG that is the same for the same data, and carries its caption."""

from xml.etree import ElementTree

import numpy as np

from ilr.trials.plotting import draw_band, draw_largest, in_style, new_figure, ticks_at, to_svg


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


def test_the_line_of_a_band_may_be_the_median() -> None:
    _, [axes] = new_figure("Band.")
    draw_band(axes, [0, 1], np.array([[0.0, 1.0], [1.0, 1.0], [8.0, 1.0]]), "median", middle=np.median)
    assert axes.lines[0].get_ydata().tolist() == [1.0, 1.0]


def test_the_largest_deviation_is_drawn_and_none_is_rounding() -> None:
    _, [axes] = new_figure("Deviations.")
    draw_largest(axes, [0, 1], np.array([[0.0, 1e-9], [0.0, 1e-8]]))
    assert axes.get_yscale() == "log"
    assert axes.lines[0].get_ydata().tolist() == [1e-17, 1e-8]
    assert axes.get_legend_handles_labels() == ([], [])


def test_ticks_are_where_they_are_wanted() -> None:
    _, [axes] = new_figure("Ticks.")
    axes.loglog([0.01, 0.04], [1, 2])
    ticks_at(axes.xaxis, [0.01, 0.04])
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0.01", "0.04"]
    assert not len(axes.get_xticks(minor=True))
