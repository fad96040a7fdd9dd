"""Plots of what layers put out for an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cnnviz.analysis.images import as_image
from cnnviz.analysis.numbers import drawable
from cnnviz.analysis.over_steps import activations_over_steps, require_layer
from cnnviz.charts.chart import Film, Mosaic, Picture
from cnnviz.charts.theme import scale_for
from cnnviz.plots.controls import IMAGE, layer_control
from cnnviz.plots.plot import plot

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from cnnviz.analysis.images import ImageSource
    from cnnviz.recording.run import Run


def _layers(run: Run) -> dict[str, str]:
    return dict(run.layers)


@plot("feature_maps", controls=[layer_control(_layers), IMAGE])
def feature_maps(run: Run, *, image: ImageSource = 0, layer: str | None = None) -> Film:
    """Draw what a layer makes of an image, one cell a channel, or a unit where the layer has no maps.

    Layers that put out negative values are drawn on a signed scale, others from zero; one scale for all steps.

    Args:
        run: The run.
        image: The number of a sample, or any image.
        layer: A layer; by default the first.

    Raises:
        LayerError: If the network has no such layer.
        ImageError: If the image doesn't fit the network.
        ModelError: If the network can't be rebuilt.
    """
    kinds = _layers(run)
    layer = layer if layer is not None else next(iter(kinds), "")
    require_layer(run, layer, kinds, "its layers are")
    batch = as_image(run, image)
    cells, noun = _cells(activations_over_steps(run, batch, layer)[:, 0])
    panels = (
        Picture("input", picture_pixels(batch[0])),
        Mosaic(
            title=f"{layer} · {kinds[layer]} · {cells.shape[1]} × {cells.shape[2]} × {cells.shape[3]}",
            cells=cells,
            labels=tuple(f"{noun} {i}" for i in range(cells.shape[1])),
            scale=scale_for(cells, "activation"),
        ),
    )
    return Film(f"Feature maps of {layer}", panels, run.steps)


def picture_pixels(image: Tensor) -> NDArray[np.float32]:
    """Return an image (c, h, w) as pixels in [0, 1]: gray (h, w), or colour (h, w, 3) where it has three channels.

    Values outside [0, 1], as of normalised images, are stretched so that all of them show; what is no number is black.
    """
    values: NDArray[np.float64] = image.detach().double().numpy()
    finite = values[np.isfinite(values)]
    low, high = finite.min(initial=0.0), finite.max(initial=1.0)
    values = np.nan_to_num(values, nan=low, posinf=high, neginf=low)
    pixels: NDArray[np.float32] = ((values - low) / (high - low)).astype(np.float32)
    return np.moveaxis(pixels, 0, 2) if len(pixels) == 3 else pixels.mean(0, dtype=np.float32)


def _cells(activations: Tensor) -> tuple[NDArray[np.float32], str]:
    """Return activations (T, ...) as cells (T, n, h, w), and what a cell is called."""
    values: NDArray[np.float32] = drawable(activations).numpy()
    if values.ndim == 4:
        return values, "channel"
    if values.ndim == 3:  # tokens by features: one picture
        return values[:, None], "map"
    return values.reshape(len(values), -1, 1, 1), "unit"
