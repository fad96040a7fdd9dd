from __future__ import annotations

import numpy as np
import pytest

from cnnviz.charts.theme import Scale, colour_table, scale_for, signed_scale


def test_normalize_maps_the_ends_and_clips() -> None:
    scale = Scale(-2.0, 2.0, "signed")
    np.testing.assert_array_equal(
        scale.normalize(np.array([-9.0, -2.0, 0.0, 1.0, 2.0, 9.0])), [0, 0, 0.5, 0.75, 1, 1]
    )
    assert np.isnan(scale.normalize(np.array([np.nan])))[0]


def test_signed_colours_are_blue_white_red() -> None:
    low, middle, high = Scale(-1.0, 1.0, "signed").colours(np.array([-1.0, 0.0, 1.0]))
    assert tuple(low) == (0x05, 0x30, 0x61)
    assert min(middle) >= 0xF5
    assert tuple(high) == (0x67, 0x00, 0x1F)


def test_values_that_are_not_finite_are_gray() -> None:
    colours = Scale(0.0, 1.0, "magnitude").colours(np.array([np.nan, 0.0]))
    assert tuple(colours[0]) == (128, 128, 128)
    assert tuple(colours[1]) == (0, 0, 4)


def test_gray_is_the_picture_itself() -> None:
    np.testing.assert_array_equal(
        Scale(0.0, 1.0, "gray").colours(np.array([0.0, 0.2, 1.0]))[:, 0], [0, 51, 255]
    )


@pytest.mark.parametrize("kind", ["signed", "magnitude", "gray"])
def test_colour_table_has_256_colours(kind: str) -> None:
    table = colour_table(kind)  # type: ignore[arg-type]
    assert table.shape == (256, 3)
    assert table.dtype == np.uint8


def test_magnitude_gets_brighter_all_the_way() -> None:
    assert (np.diff(colour_table("magnitude").astype(int) @ [299, 587, 114]) >= 0).all()


def test_signed_scale_is_even_around_zero_and_ignores_what_is_not_finite() -> None:
    scale = signed_scale([np.array([0.5, np.nan]), np.array([-3.0, np.inf])], "weight")
    assert (scale.low, scale.high, scale.kind, scale.unit) == (-3.0, 3.0, "signed", "weight")


@pytest.mark.parametrize("values", [[], [0.0, 0.0], [np.nan]])
def test_scales_of_nothing_still_span_something(values: list[float]) -> None:
    assert signed_scale([np.array(values)], "").high == 1.0
    assert scale_for(np.array(values), "").high == 1.0


def test_scale_for_looks_at_the_sign() -> None:
    assert scale_for(np.array([0.0, 2.0]), "activation") == Scale(0.0, 2.0, "magnitude", "activation")
    assert scale_for(np.array([-4.0, 2.0]), "activation") == Scale(-4.0, 4.0, "signed", "activation")
