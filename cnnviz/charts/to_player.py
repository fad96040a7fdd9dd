"""Charts and films for the player: a layout in JSON, frames in bytes, and a page that holds all of it."""

from __future__ import annotations

import base64
import gzip
import json
from functools import cache
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np

from cnnviz.charts.chart import Bars, Chart, Curves, Film, Mosaic, Panel, Picture
from cnnviz.charts.theme import LINE_COLOURS, colour_table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from cnnviz.charts.theme import Scale

# In the order in which they need each other.
_SCRIPTS = ("frames", "mosaic", "picture", "bars", "curves", "timeline", "film", "standalone", "live")
_NOT_A_NUMBER = 255
_LEVELS = 254
# Below this size a film in one file holds exact values; above it, bytes on the colour scale.
_EXACT_BYTES = 2**20
_NOTEBOOK_HEIGHT = 560


@cache
def script() -> str:
    """Return the player's JavaScript: the same in a notebook, on a page of the dashboard and in a file."""
    folder = files("cnnviz.charts") / "player"
    parts = [(folder / f"{name}.js").read_text(encoding="utf-8") for name in _SCRIPTS]
    return "(() => {\n" + "\n".join(parts) + "\nwindow.cnnviz = { mountStandalone, watchPage };\n})();\n"


@cache
def style() -> str:
    """Return the player's style sheet."""
    return (files("cnnviz.charts") / "player" / "player.css").read_text(encoding="utf-8")


def layout(drawn: Chart | Film) -> dict[str, Any]:
    """Return what the player needs to know before the first frame, as JSON can hold it."""
    film, timed = _as_film(drawn)
    return {
        "title": film.title,
        "timed": timed,
        "steps": [int(step) for step in film.steps],
        "left_out": list(film.left_out),
        "panels": [_describe(panel) for panel in film.panels],
        "colours": {kind: _base64(colour_table(kind).tobytes()) for kind in ("signed", "magnitude", "gray")},
    }


def frames(drawn: Chart | Film, *, exact: bool = False) -> bytes:
    """Return the frames of a film as the player reads them.

    The length of a JSON header (4 bytes, little-endian), the header, then the panels' arrays. Mosaics are bytes
    on the limits of their scale, 255 for what is not finite, or float32 if `exact`; bars are float32.

    Args:
        drawn: The film, or a chart as a film of one step.
        exact: Whether to send values as they are.
    """
    film, _ = _as_film(drawn)
    header: list[dict[str, Any] | None] = []
    body = bytearray()
    for panel in film.panels:
        encoded = _encode(panel, exact=exact)
        if encoded is None:
            header.append(None)
            continue
        entry, array = encoded
        data = np.ascontiguousarray(array).tobytes()
        header.append(entry | {"offset": len(body), "length": len(data)})
        body += data + b"\0" * (-len(data) % 4)
    steps = [int(step) for step in film.steps]
    return _with_header({"steps": steps, "left_out": list(film.left_out), "panels": header}, bytes(body))


def no_frames(left_out: Sequence[int]) -> bytes:
    """Return what the player reads of snapshots none of which can be shown."""
    return _with_header({"steps": [], "left_out": list(left_out), "panels": []}, b"")


def page(drawn: Chart | Film) -> str:
    """Return a whole HTML document that shows `drawn` and needs nothing else, on any machine, offline."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(drawn.title)}</title>\n<style>\n{style()}\nbody {{ margin: 0 }}\n</style>\n</head>\n"
        f'<body class="cnnviz cv-standalone">\n<main id="film">{_payload(drawn)}</main>\n'
        f'<script>\n{script()}\ncnnviz.mountStandalone(document.getElementById("film"));\n</script>\n</body>\n</html>\n'
    )


def notebook_html(drawn: Chart | Film) -> str:
    """Return the page in a frame of its own, so that a notebook's styles and scripts don't meet the player's."""
    height = _NOTEBOOK_HEIGHT + (60 if isinstance(drawn, Film) else 0)
    return (
        f'<iframe srcdoc="{escape(page(drawn))}" title="{escape(drawn.title)}" '
        f'style="width:100%;height:{height}px;border:0"></iframe>'
    )


def _with_header(header: dict[str, Any], body: bytes) -> bytes:
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 4)
    return len(text).to_bytes(4, "little") + text + body


def _as_film(drawn: Chart | Film) -> tuple[Film, bool]:
    """Return a film, and whether its steps are a run's; a chart becomes a film of one step."""
    if isinstance(drawn, Film):
        return drawn, True
    panels = tuple(panel.as_film() for panel in drawn.panels)
    return Film(drawn.title, panels, np.array([drawn.step or 0], np.int64)), drawn.step is not None


def _payload(drawn: Chart | Film) -> str:
    film, _ = _as_film(drawn)
    arrays = [getattr(panel, panel.step_field) for panel in film.panels if panel.step_field is not None]
    exact = sum(array.size for array in arrays) * 4 <= _EXACT_BYTES
    content: dict[str, Any] = {"layout": layout(drawn)}
    if arrays:
        content["frames"] = _base64(gzip.compress(frames(film, exact=exact), mtime=0))
    # "</script>" in a label must not end the element.
    text = json.dumps(content).replace("<", "\\u003c")
    return f'<script type="application/json">{text}</script>'


def _describe(panel: Panel) -> dict[str, Any]:
    common = {"title": panel.title, "framed": panel.step_field is not None}
    return common | _DESCRIBE[type(panel)](panel)


def _mosaic(panel: Mosaic) -> dict[str, Any]:
    scale = panel.scale
    return {
        "kind": "mosaic",
        "shape": list(panel.cells.shape[-3:]),
        "columns": panel.columns,
        "labels": list(panel.labels),
        "scale": _limits(scale) | {"kind": scale.kind, "unit": scale.unit, "blank": _is_blank(panel)},
    }


def _picture(panel: Picture) -> dict[str, Any]:
    pixels = np.rint(np.clip(np.nan_to_num(panel.pixels), 0, 1) * 255).astype(np.uint8)
    return {"kind": "picture", "shape": list(pixels.shape), "pixels": _base64(pixels.tobytes())}


def _bars(panel: Bars) -> dict[str, Any]:
    return {
        "kind": "bars",
        "labels": list(panel.labels),
        "unit": panel.unit,
        "limits": list(panel.limits),
        "truth": panel.truth,
    }


def _curves(panel: Curves) -> dict[str, Any]:
    curves = [
        {
            "name": curve.name,
            "colour": LINE_COLOURS[number % len(LINE_COLOURS)],
            "steps": [int(step) for step in curve.steps],
            "values": finite_or_none(curve.values),
        }
        for number, curve in enumerate(panel.curves)
    ]
    return {"kind": "curves", "unit": panel.unit, "percent": panel.percent, "curves": curves}


_DESCRIBE: dict[type[Panel], Callable[[Any], dict[str, Any]]] = {
    Mosaic: _mosaic,
    Picture: _picture,
    Bars: _bars,
    Curves: _curves,
}


def finite_or_none(values: NDArray[np.floating]) -> list[float | None]:
    """Return values as JSON can hold them: what is not finite becomes null."""
    return [float(value) if np.isfinite(value) else None for value in values]


def _encode(panel: Panel, *, exact: bool) -> tuple[dict[str, Any], NDArray[Any]] | None:
    if panel.step_field is None:
        return None
    values = getattr(panel, panel.step_field)
    if not isinstance(panel, Mosaic):
        return {"dtype": "f4"}, values.astype("<f4")
    limits = _limits(panel.scale)
    # The limits of frames that hold nothing but zeros are made up, and would widen the film's scale.
    entry: dict[str, Any] = {} if _is_blank(panel) else {"scale": limits | {"kind": panel.scale.kind}}
    if exact:
        return entry | {"dtype": "f4"}, values.astype("<f4")
    return entry | {"dtype": "u1"} | limits, _quantize(values, limits["low"], limits["high"])


def _limits(scale: Scale) -> dict[str, float]:
    return {"low": float(scale.low), "high": float(scale.high)}


def _is_blank(panel: Mosaic) -> bool:
    return not bool((np.isfinite(panel.cells) & (panel.cells != 0)).any())


def _quantize(values: NDArray[np.floating], low: float, high: float) -> NDArray[np.uint8]:
    """Return values as bytes: 0 is `low`, 254 is `high`, 255 is what is not finite."""
    middle, half = low / 2 + high / 2, high / 2 - low / 2  # neither overflows, whatever the limits
    finite = np.isfinite(values)
    normal = (np.where(finite, np.clip(values, low, high), middle) - middle) / half
    return np.where(finite, np.rint((normal + 1) * (_LEVELS / 2)), _NOT_A_NUMBER).astype(np.uint8)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
