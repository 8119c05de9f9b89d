"""Figures: SVG that is the same for the same data, and carries its caption."""

from xml.etree import ElementTree

import numpy as np
import pytest
from cycler import cycler
from matplotlib import rc_context

from ilr import Prediction
from ilr.trials.figure_data import MOST_POINTS, as_csv, in_words
from ilr.trials.plotting import (
    BAND_POINTS,
    as_control,
    draw_accepted,
    draw_band,
    draw_groups,
    draw_largest,
    draw_mean,
    in_style,
    label_lines,
    new_figure,
    ticks_at,
    to_svg,
)


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


def test_a_band_of_many_points_is_no_large_page() -> None:
    _, [axes] = new_figure("Band.")
    draw_band(axes, range(5000), np.arange(10_000.0).reshape(2, 5000), "mean")
    [band] = axes.collections
    vertices = band.get_paths()[0].vertices
    assert len(vertices) < 3 * BAND_POINTS
    assert (vertices[:, 0].min(), vertices[:, 0].max()) == (0, 4999)


def test_the_error_of_a_mean_is_a_band_of_two_standard_errors() -> None:
    _, [axes] = new_figure("Mean.")
    draw_mean(axes, [0, 1], np.array([[0.0, 0.0], [2.0, 2.0]]), "mean")
    assert axes.lines[0].get_ydata().tolist() == [1.0, 1.0]
    heights = axes.collections[0].get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == (-1.0, 3.0)


def test_groups_stand_beside_each_other_and_their_means_are_told() -> None:
    figure, [axes] = new_figure("Groups.")
    draw_groups(axes, {"one": np.array([1.0, 3.0]), "alone": np.array([5.0])}, control="alone")
    assert [label.get_text() for label in axes.get_xticklabels()] == ["one", "alone"]
    dots = [line for line in axes.lines if line.get_marker() == "."]
    assert [dot.get_color() for dot in dots][1] == as_control()["color"]
    assert in_words(figure) == "Panel “panel”: value. one: 2. alone: 5."


def test_rows_of_a_panel_have_one_horizontal_axis() -> None:
    _, axes = new_figure("Four.", panels=2, rows=2)
    assert len(axes) == 4
    axes[0].set_xlim(0, 7)
    assert [one.get_xlim()[1] == 7 for one in axes] == [True, True, False, False]


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


def test_the_users_own_settings_do_not_matter() -> None:
    before = drawn()
    with rc_context({"text.usetex": True, "font.size": 30, "axes.prop_cycle": cycler(color=["red"])}):
        assert drawn() == before


def test_a_figure_says_what_it_shows_in_words_and_as_a_table() -> None:
    root = ElementTree.fromstring(drawn())
    words = root.findtext("{http://www.w3.org/2000/svg}desc") or ""
    assert "mean: from 7.5 at 0 to 11.5 at 4, least 7.5, greatest 11.5." in words
    table = root.find("{http://www.w3.org/2000/svg}metadata")
    assert table is not None
    assert (table.text or "").splitlines()[:2] == ["panel,line,x,y", ",mean,0,7.5"]


def test_a_long_line_is_a_table_of_some_of_its_points() -> None:
    figure, [axes] = new_figure("Long.")
    axes.plot(np.arange(5000), np.arange(5000), label="steps")
    rows = as_csv(figure).splitlines()
    assert len(rows) == 1 + MOST_POINTS
    assert rows[-1] == ",steps,4999,4999"


def test_the_words_name_points_and_logarithmic_axes() -> None:
    figure, [first, second] = new_figure("Two.", panels=2)
    first.set(title="growth", xlabel="step", ylabel="norm", yscale="log")
    first.scatter([1, 2], [3, 4], label="nets")
    second.errorbar([1], [2], yerr=[0.5], label="one")
    second.plot([0], [1], label="_not told")
    words = in_words(figure)
    assert "Panel “growth”: norm (logarithmic) against step. nets: from 3 at 1 to 4 at 2" in words
    assert "one: 2 at 1." in words
    assert "not told" not in words


def test_powers_of_ten_are_written_without_mathematics() -> None:
    with in_style():
        figure, [axes] = new_figure("Powers.")
        axes.loglog([1e-4, 1e3], [0.2, 0.6])
        text = to_svg(figure, "claim")
    assert ">10⁻³<" in text
    assert ">3×10⁻¹<" in text


def test_groups_differ_in_colour_dash_and_marker() -> None:
    with in_style():
        _, [axes] = new_figure("Groups.")
        for label in ("one", "two", "three"):
            draw_band(axes, range(5), np.arange(20.0).reshape(4, 5), label)
        draw_band(axes, range(5), np.arange(20.0).reshape(4, 5), "", marker=".")
    for look in ("get_color", "get_marker"):
        assert len({getattr(line, look)() for line in axes.lines[:3]}) == 3
    assert len({str(line._unscaled_dash_pattern) for line in axes.lines[:3]}) == 3
    assert axes.lines[3].get_marker() == "."


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_a_noisy_line_has_no_more_markers_than_a_smooth_one(scale: str) -> None:
    noise = np.random.default_rng(1).normal(size=(2, 3000))
    with in_style():
        figure, [axes] = new_figure("Markers.")
        draw_band(axes, np.arange(1, 3001), noise, "noisy")
        draw_band(axes, [1, 2], noise[:, :2], "short")
        axes.set(xscale=scale)
        to_svg(figure, "claim")
        noisy, short = (line.get_markevery() for line in axes.lines)
        across = axes.transAxes.inverted().transform(axes.transData.transform(axes.lines[0].get_xydata()[noisy]))[:, 0]
    assert 4 <= len(noisy) <= 5
    assert np.diff(across) == pytest.approx(0.2, abs=0.05)
    assert 1 <= len(short) <= 2


def test_the_accepted_range_is_a_band_within_what_is_shown() -> None:
    _, [axes] = new_figure("Accepted.")
    axes.plot([0, 1], [0, 2])
    shown = axes.get_ylim()
    draw_accepted(axes, Prediction("growth", "at_least", expected=1.0, margin=0.0, reason="no decay"))
    heights = axes.patches[0].get_window_extent().transformed(axes.transData.inverted()).extents[[1, 3]]
    assert heights == pytest.approx([1.0, shown[1]])
    assert axes.get_ylim() == shown


def test_labels_of_lines_that_end_together_move_apart() -> None:
    _, [axes] = new_figure("Labels.")
    for label in ("one", "two"):
        axes.plot([0, 1], [0, 1], label=label, **as_control())
    axes.set_ylim(0, 1)
    label_lines(axes)
    first, second = (text.xy[1] for text in axes.texts)
    assert second - first > 0.03
    assert {text.get_color() for text in axes.texts} == {"#767676"}
