"""Colours and colour scales, shared by every renderer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

ScaleKind = Literal["signed", "magnitude", "gray"]

# Anchor colours, evenly spaced. "signed" is ColorBrewer's RdBu reversed (C. Brewer, Apache-2.0): blue below zero,
# white at zero, red above; readable when colour-blind. "magnitude" samples magma (S. van der Walt and N. Smith,
# CC0), which is perceptually even.
_ANCHORS: dict[ScaleKind, tuple[str, ...]] = {
    "signed": (
        "#053061", "#2166ac", "#4393c3", "#92c5de", "#d1e5f0", "#f7f7f7",
        "#fddbc7", "#f4a582", "#d6604d", "#b2182b", "#67001f",
    ),
    "magnitude": (
        "#000004", "#0b0924", "#20114b", "#3b0f70", "#57157e", "#721f81", "#8c2981", "#a8327d", "#c43c75",
        "#de4968", "#f1605d", "#fa7f5e", "#fe9f6d", "#febf84", "#fddea0", "#fcfdbf",
    ),
    "gray": ("#000000", "#ffffff"),
}  # fmt: skip

# Okabe and Ito's palette: distinguishable with any colour vision. The first two are training and validation.
LINE_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")


@dataclass(frozen=True)
class Scale:
    """A colour scale: what values it spans and which family of colours it uses.

    Attributes:
        low: The value of the first colour.
        high: The value of the last colour, above `low`.
        kind: "signed" diverges around zero, "magnitude" rises from zero, "gray" is a picture's own.
        unit: What the values are, for the legend ("weight", "activation").
    """

    low: float
    high: float
    kind: ScaleKind
    unit: str = ""

    def normalize(self, values: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return `values` mapped so that `low` is 0 and `high` is 1, clipped; NaN stays NaN."""
        return np.clip((np.asarray(values, np.float64) - self.low) / (self.high - self.low), 0.0, 1.0)

    def colours(self, values: NDArray[np.floating]) -> NDArray[np.uint8]:
        """Return the colours (..., 3) of `values` (...); values that are not finite are mid-gray."""
        normal = self.normalize(values)
        finite = np.isfinite(values)
        rgb = colour_table(self.kind)[np.rint(np.where(finite, normal, 0) * 255).astype(np.intp)]
        return np.where(finite[..., None], rgb, np.uint8(128)).astype(np.uint8)


def signed_scale(values: Iterable[NDArray[np.floating]], unit: str) -> Scale:
    """Return the scale that spans all finite `values` evenly around zero."""
    extent = max((_extent(array) for array in values), default=0.0) or 1.0
    return Scale(-extent, extent, "signed", unit)


def scale_for(values: NDArray[np.floating], unit: str) -> Scale:
    """Return the scale that fits `values`: signed if any is negative, else magnitudes from zero."""
    finite = values[np.isfinite(values)]
    if finite.size and finite.min() < 0:
        return signed_scale([values], unit)
    return Scale(0.0, _extent(values) or 1.0, "magnitude", unit)


def colour_table(kind: ScaleKind) -> NDArray[np.uint8]:
    """Return the 256 colours (256, 3) of a kind of scale, from its lowest value to its highest."""
    anchors = np.array([_rgb(colour) for colour in _ANCHORS[kind]], np.float64)
    positions = np.linspace(0, len(anchors) - 1, 256)
    channels = [np.interp(positions, np.arange(len(anchors)), anchors[:, c]) for c in range(3)]
    return np.rint(np.stack(channels, axis=1)).astype(np.uint8)


def _extent(values: NDArray[np.floating]) -> float:
    finite = values[np.isfinite(values)]
    return float(np.abs(finite).max()) if finite.size else 0.0


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
