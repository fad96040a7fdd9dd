from __future__ import annotations

import numpy as np
import pytest

from cnnviz.charts import layout
from cnnviz.charts.chart import Bars, Film, Mosaic, Picture
from cnnviz.charts.theme import Scale


def _mosaic(labels: tuple[str, ...], size: int = 3) -> Mosaic:
    return Mosaic("m", np.zeros((len(labels), size, size)), labels, Scale(0, 1, "magnitude"))


def _many(values: list[float], truth: int | None) -> Bars:
    padded = np.array(values + [0.0] * (30 - len(values)))
    return Bars("b", padded, tuple(f"class {i}" for i in range(30)), "probability", truth=truth)


def test_labels_over_cells_become_numbers_and_then_nothing() -> None:
    few = tuple(f"filter {i}" for i in range(4))
    assert layout.mosaic_layout(_mosaic(few)).labels == few
    long = tuple(f"input channel 0 of filter {i}" for i in range(60))
    assert layout.mosaic_layout(_mosaic(long)).labels == tuple(str(i) for i in range(60))
    assert layout.mosaic_layout(_mosaic(tuple(str(i) for i in range(65)))).labels == ()
    assert layout.mosaic_layout(_mosaic(tuple(chr(97 + i) * 40 for i in range(20)))).labels == ()


def test_numbers_keep_all_their_digits() -> None:
    labels = tuple(f"a rather long name of a unit {i}" for i in range(10, 14))
    assert layout.mosaic_layout(_mosaic(labels)).labels == ("10", "11", "12", "13")


def test_a_mosaic_stays_within_its_space() -> None:
    for count, size in ((1, 5), (64, 3), (512, 1), (2048, 7)):
        on_paper = layout.mosaic_layout(_mosaic(("",) * count, size))
        assert on_paper.area[0] <= 6.4
        assert on_paper.area[1] <= 5.2 + on_paper.strip * on_paper.grid[0]


def test_panels_stand_side_by_side_until_the_paper_ends() -> None:
    places, width, height = layout.place([Picture("p", np.zeros((8, 8)))] * 8)
    tops = [top for _, top, _ in places]
    assert tops[:6] == [tops[0]] * 6
    assert tops[6] > tops[0]
    assert width <= layout.PAPER_WIDTH
    assert height > 4


def test_places_do_not_overlap(whole_film: Film) -> None:
    places, width, height = layout.place(whole_film.frame(0).panels)
    boxes = [(x, y, x + size.width, y + size.height) for x, y, size in places]
    for i, a in enumerate(boxes):
        assert 0 <= a[0] < a[2] <= width
        assert 0 <= a[1] < a[3] <= height
        for b in boxes[i + 1 :]:
            assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


def test_few_bars_are_all_shown_in_their_order() -> None:
    bars = Bars("b", np.array([0.1, 0.7, 0.2]), ("a", "b", "c"), "probability")
    assert layout.shown_bars(bars) == [0, 1, 2]


@pytest.mark.parametrize("truth", [5, 2, 29])
def test_of_many_bars_the_highest_and_the_truth_are_shown(truth: int) -> None:
    shown = layout.shown_bars(_many([i / 100 for i in range(20)], truth))
    assert len(shown) == layout.HIGHEST_BARS + 1
    assert shown[: layout.HIGHEST_BARS] == list(range(19, 9, -1))
    assert truth in layout.shown_bars(_many([i / 100 for i in range(20)], truth))


def test_highest_bar() -> None:
    assert layout.highest_bar(_many([0.1, np.nan, 0.4], None)) == 2
    assert layout.highest_bar(_many([np.nan] * 30, None)) is None


@pytest.mark.parametrize(
    ("value", "percent", "text"),
    [
        (0.5, True, "50.0%"), (0.0001, True, "<0.1%"), (0.0, True, "0.0%"), (0.12345, False, "0.123"),
        (10215.0, False, "10,215"), (1e9, False, "1e+09"), (float("nan"), True, "–"), (float("inf"), False, "–"),
    ],
)  # fmt: skip
def test_numbers_for_readers(value: float, percent: bool, text: str) -> None:
    assert layout.number(value, percent=percent) == text


def test_long_names_are_cut_with_an_ellipsis() -> None:
    assert layout.shortened("cat", 1.0, 9) == "cat"
    cut = layout.shortened("Staffordshire bull terrier, Staffy", 1.0, 9)
    assert cut.endswith("…")
    assert layout.text_width(cut, 9) <= 1.0
    assert layout.text_width("猫", 9) > layout.text_width("c", 9)


def test_value_at_is_the_last_one_recorded() -> None:
    steps, values = np.array([10, 20]), np.array([0.1, 0.2])
    assert [layout.value_at(steps, values, step) for step in (10, 19, 20, 99)] == [0.1, 0.1, 0.2, 0.2]
    assert np.isnan(layout.value_at(steps, values, 9))
