"""Plots of the weights themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnviz.analysis.filters import conv_layers, filter_planes, input_channels
from cnnviz.charts.chart import Film, Mosaic
from cnnviz.charts.theme import signed_scale
from cnnviz.plots.controls import layer_control
from cnnviz.plots.plot import Choice, Control, plot

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cnnviz.recording.run import Run


def _channels(run: Run, chosen: Mapping[str, str]) -> list[Choice]:
    count = input_channels(run, chosen["layer"]) if "layer" in chosen else 0
    return [Choice(str(i), str(i) if count > 1 else "the only one") for i in range(count)]


@plot("filters", controls=[layer_control(conv_layers), Control("channel", "Input channel", _channels, int)])
def filters(run: Run, *, layer: str | None = None, channel: int = 0) -> Film:
    """Draw the kernels of a convolution for one input channel, one cell a filter.

    Red is positive, blue negative and white zero, on one scale for all steps and filters.

    Args:
        run: The run.
        layer: A convolution; by default the first.
        channel: The input channel whose kernels are shown, from 0.

    Raises:
        LayerError: If the layer is no convolution, or has no such channel.
    """
    planes, layer = filter_planes(run, layer, channel)
    count = planes.shape[1]
    title = f"Filters of {layer}"
    inputs = input_channels(run, layer)
    panel = Mosaic(
        title=f"kernels for input channel {channel} of {inputs}" if inputs > 1 else "kernels",
        cells=planes,
        labels=tuple(f"filter {i}" for i in range(count)),
        scale=signed_scale([planes], "weight"),
    )
    return Film(title, (panel,), run.steps)
