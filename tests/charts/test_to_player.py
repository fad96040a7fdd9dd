from __future__ import annotations

import base64
import gzip
import html
import json
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from cnnviz.charts.chart import Bars, Chart, Curve, Curves, Film, Mosaic, Picture
from cnnviz.charts.theme import Scale, colour_table, scale_for, signed_scale
from cnnviz.charts.to_player import frames, layout, notebook_html, page, script, style

if TYPE_CHECKING:
    from collections.abc import Sequence


def decode(data: bytes) -> tuple[dict[str, Any], list[np.ndarray | None]]:
    """Read frames byte by byte as the format is documented; arrays are (T, size)."""
    length = data[0] + 256 * data[1] + 65536 * data[2] + 16777216 * data[3]
    header = json.loads(data[4 : 4 + length].decode())
    body = data[4 + length :]
    found: list[np.ndarray | None] = []
    for entry in header["panels"]:
        if entry is None:
            found.append(None)
            continue
        part = body[entry["offset"] : entry["offset"] + entry["length"]]
        assert len(part) == entry["length"]
        assert entry["offset"] % 4 == 0  # JavaScript reads float32 only there
        values = np.frombuffer(part, {"u1": np.uint8, "f4": "<f4"}[entry["dtype"]])
        found.append(values.reshape(len(header["steps"]), -1))
    assert (4 + length) % 4 == 0
    return header, found


def values_of(entry: dict[str, Any], levels: np.ndarray) -> np.ndarray:
    """The numbers that bytes stand for."""
    span = entry["high"] - entry["low"]
    return np.where(levels == 255, np.nan, entry["low"] + levels.astype(float) / 254 * span)


def mosaic_film(cells: np.ndarray, scale: Scale, steps: Sequence[int] | None = None) -> Film:
    labels = tuple(f"filter {i}" for i in range(cells.shape[1]))
    mosaic = Mosaic("kernels", cells, labels, scale)
    return Film("A film", (mosaic,), np.array(range(len(cells)) if steps is None else steps))


def payload(text: str) -> dict[str, Any]:
    """What the page holds for the player."""
    (found,) = re.findall(r'<script type="application/json">(.*?)</script>', text, re.DOTALL)
    return json.loads(found)


def test_known_bytes() -> None:
    cells = np.array([[[[-1.0, 0.0, 1.0]]], [[[0.5, np.nan, 9.0]]]])
    header, (levels,) = decode(frames(mosaic_film(cells, Scale(-1, 1, "signed"), [3, 70000])))
    assert header["steps"] == [3, 70000]
    assert header["panels"][0] == {
        "dtype": "u1",
        "low": -1.0,
        "high": 1.0,
        "scale": {"low": -1.0, "high": 1.0, "kind": "signed"},
        "offset": 0,
        "length": 6,
    }
    assert levels is not None
    assert levels.tolist() == [[0, 127, 254], [190, 255, 254]]


finite = st.floats(-(2.0**100), 2.0**100, width=32)


@given(arrays.arrays(np.float32, arrays.array_shapes(min_dims=4, max_dims=4, max_side=4), elements=finite))
def test_bytes_are_right_to_half_a_level(cells: np.ndarray) -> None:
    scale = scale_for(cells, "activation")
    header, (levels,) = decode(frames(mosaic_film(cells, scale)))
    half = (scale.high - scale.low) / 254 / 2
    assert levels is not None
    shown = values_of(header["panels"][0], levels)
    np.testing.assert_allclose(shown, cells.reshape(len(cells), -1), rtol=0, atol=half * 1.0001)


@given(
    arrays.arrays(
        np.float32, arrays.array_shapes(min_dims=4, max_dims=4, max_side=3), elements=st.floats(width=32)
    )
)
def test_any_float_gets_a_byte_without_a_warning(cells: np.ndarray) -> None:
    scale = signed_scale([cells], "weight")
    _, (levels,) = decode(frames(mosaic_film(cells, scale)))
    assert levels is not None
    assert ((levels == 255) == ~np.isfinite(cells.reshape(levels.shape))).all()


@given(
    arrays.arrays(
        np.float32, arrays.array_shapes(min_dims=4, max_dims=4, max_side=3), elements=st.floats(width=32)
    )
)
def test_exact_frames_are_the_values_bit_for_bit(cells: np.ndarray) -> None:
    film = mosaic_film(cells, signed_scale([cells], "weight"))
    _, (values,) = decode(frames(film, exact=True))
    assert values is not None
    np.testing.assert_array_equal(values.reshape(cells.shape), cells)


def test_frames_of_zeros_do_not_claim_a_scale() -> None:
    nothing = np.zeros((2, 1, 1, 2), np.float32)
    nothing[0, 0, 0, 0] = np.nan
    film = mosaic_film(nothing, scale_for(nothing, "activation"))
    header, _ = decode(frames(film))
    assert "scale" not in header["panels"][0]
    assert layout(film)["panels"][0]["scale"]["blank"]
    something = nothing + np.array([0, 0.25], np.float32)
    film = mosaic_film(something, scale_for(something, "activation"))
    header, _ = decode(frames(film))
    assert header["panels"][0]["scale"] == {"low": 0.0, "high": 0.25, "kind": "magnitude"}
    assert not layout(film)["panels"][0]["scale"]["blank"]


def test_every_kind_of_panel_has_a_layout_and_frames(film: Film) -> None:
    described = layout(film)
    json.dumps(described, allow_nan=False)
    assert described["timed"]
    assert described["steps"] == [100, 200, 1200]
    assert set(described["colours"]) == {"signed", "magnitude", "gray"}
    header, found = decode(frames(film))
    framed = film.panels[0].step_field is not None
    assert described["panels"][0]["framed"] == framed == (found[0] is not None)
    assert header["steps"] == [100, 200, 1200]


def test_panels_lie_one_behind_the_other(whole_film: Film) -> None:
    _, found = decode(frames(whole_film))
    for panel, values in zip(whole_film.panels, found, strict=True):
        if isinstance(panel, Bars):
            assert values is not None
            np.testing.assert_array_equal(values, panel.values.astype(np.float32))
        elif isinstance(panel, Mosaic):
            assert values is not None
            assert values.shape == (3, panel.cells[0].size)
        else:
            assert values is None


def test_colours_are_the_themes() -> None:
    described = layout(Chart("nothing", ()))
    for kind, text in described["colours"].items():
        assert base64.b64decode(text) == colour_table(kind).tobytes()


def test_a_chart_of_no_step_says_so() -> None:
    curves = Curves(
        "", (Curve("training", np.array([1, 2]), np.array([0.5, np.nan])),), "error rate", percent=True
    )
    described = layout(Chart("errors", (curves,)))
    assert not described["timed"]
    assert described["steps"] == [0]
    assert described["panels"][0]["curves"][0]["values"] == [0.5, None]
    assert layout(Chart("errors", (curves,), 7))["timed"]


def test_numpys_numbers_are_no_problem() -> None:
    scale = Scale(np.float32(-1), np.float32(1), "signed")  # type: ignore[arg-type]
    film = mosaic_film(np.zeros((1, 1, 2, 2)), scale)
    json.dumps(layout(film))
    decode(frames(film))


def test_pictures_are_bytes() -> None:
    pixels = np.array([[0.0, 0.5], [1.0, np.nan]])
    gray = layout(Chart("p", (Picture("input", pixels),)))["panels"][0]
    assert gray["shape"] == [2, 2]
    assert list(base64.b64decode(gray["pixels"])) == [0, 128, 255, 0]
    colour = layout(Chart("p", (Picture("input", np.zeros((2, 3, 3))),)))["panels"][0]
    assert colour["shape"] == [2, 3, 3]


NASTY = "</script><script>alert(1)</script>\"'&<!-- \u2028 猫"


def _nasty() -> Film:
    mosaic = Mosaic(NASTY, np.eye(2)[None, None], (NASTY,), Scale(-1, 1, "signed", NASTY))
    bars = Bars(NASTY, np.array([[0.5]]), (NASTY,), NASTY)
    curves = Curves(NASTY, (Curve(NASTY, np.array([0]), np.array([0.5])),), NASTY)
    return Film(NASTY, (mosaic, bars, curves), np.array([0]))


def test_titles_and_labels_cannot_break_out_of_the_page() -> None:
    text = page(_nasty())
    assert "<script>alert" not in text
    assert text.count("</script>") == 2
    held = payload(text)
    assert held["layout"]["title"] == NASTY
    assert held["layout"]["panels"][0]["labels"] == [NASTY]
    assert f"<title>{html.escape(NASTY)}</title>" in text


def test_a_page_names_no_address(whole_film: Film) -> None:
    text = page(whole_film)
    assert not re.findall(r"(?:https?:)?//[a-z0-9-]+\.[a-z]", text)
    assert not re.findall(r"""(?:src|href)\s*=|@import|url\(""", text)


def test_a_page_is_the_same_every_time(whole_film: Film) -> None:
    assert page(whole_film) == page(whole_film)


def test_the_players_files_cannot_end_their_element() -> None:
    assert "</script" not in script()
    assert "</style" not in style()


@pytest.mark.parametrize(("side", "dtype"), [(16, "f4"), (600, "u1")])
def test_a_page_holds_exact_values_unless_they_are_too_many(side: int, dtype: str) -> None:
    cells = np.random.default_rng(0).normal(size=(1, 1, side, side)).astype(np.float32)
    film = mosaic_film(cells, signed_scale([cells], "weight"))
    header, _ = decode(gzip.decompress(base64.b64decode(payload(page(film))["frames"])))
    assert header["panels"][0]["dtype"] == dtype


def test_a_page_without_frames_holds_none() -> None:
    assert "frames" not in payload(page(Chart("p", (Picture("input", np.zeros((2, 2))),))))


def test_the_notebooks_frame_holds_the_page() -> None:
    film = _nasty()
    text = notebook_html(film)
    assert text.startswith("<iframe ")
    assert text.count("<iframe") == text.count("</iframe>") == 1
    (held,) = re.findall(r'srcdoc="([^"]*)"', text)
    assert html.unescape(held) == page(film)
    (title,) = re.findall(r'title="([^"]*)"', text)
    assert html.unescape(title) == NASTY
    assert film._repr_html_() == text
