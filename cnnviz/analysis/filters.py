"""Filters: the weights of convolutions as planes that can be looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cnnviz.analysis.numbers import drawable
from cnnviz.analysis.over_steps import require_layer
from cnnviz.errors import LayerError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnviz.recording.run import Run

_KINDS = {"Conv1d": 3, "Conv2d": 4, "ConvTranspose1d": 3, "ConvTranspose2d": 4}
"""Kind to the number of axes of its weights."""


def conv_layers(run: Run) -> dict[str, str]:
    """Return the convolutions of the run's network with weights of their own, name to kind, in forward order."""
    if not len(run):
        return {}
    stored = set(run.first.state)
    return {name: kind for name, kind in run.layers if kind in _KINDS and f"{name}.weight" in stored}


def input_channels(run: Run, layer: str) -> int:
    """Return how many input channels each filter of `layer` sees; 0 if it is no convolution.

    Raises:
        LayerError: If its weights aren't those of a convolution.
    """
    kinds = conv_layers(run)
    if layer not in kinds:
        return 0
    shape = run.first.state[f"{layer}.weight"].shape
    if len(shape) != _KINDS[kinds[layer]]:
        raise LayerError(
            f"{run.location}: the weights of layer {layer!r} have the shape {tuple(shape)}, so it is no {kinds[layer]}"
        )
    return int(shape[0] if "Transpose" in kinds[layer] else shape[1])


def filter_planes(run: Run, layer: str | None, channel: int) -> tuple[NDArray[np.float32], str]:
    """Return the kernels of `layer` for one input channel at every step, and the layer's name.

    Args:
        run: The run.
        layer: A convolution; None takes the first.
        channel: The input channel, from 0.

    Returns:
        (T, filters, kh, kw), and the name of the layer; one-dimensional kernels have kh = 1.

    Raises:
        LayerError: If the layer is no convolution, or has no such channel.
    """
    kinds = conv_layers(run)
    layer = layer if layer is not None else next(iter(kinds), "")
    require_layer(run, layer, kinds, "filters are drawn of convolutions")
    count = input_channels(run, layer)
    if not 0 <= channel < count:
        raise LayerError(f"layer {layer!r} has no input channel {channel}; it has {count}, counted from 0")
    weights = drawable(run.series(f"{layer}.weight")).numpy()
    if "Transpose" in kinds[layer]:  # stored with the input channel first
        weights = weights.swapaxes(1, 2)
    planes = weights[:, :, channel]
    return np.ascontiguousarray(planes if planes.ndim == 4 else planes[:, :, None, :]), layer
