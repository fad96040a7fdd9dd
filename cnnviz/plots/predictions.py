"""Plots of what the network answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cnnviz.analysis.images import as_image
from cnnviz.analysis.numbers import drawable
from cnnviz.analysis.over_steps import logits_over_steps
from cnnviz.charts.chart import Bars, Film
from cnnviz.plots.controls import IMAGE
from cnnviz.plots.plot import plot
from cnnviz.recording.samples import Sample

if TYPE_CHECKING:
    from cnnviz.analysis.images import ImageSource
    from cnnviz.recording.run import Run


@plot("probabilities", controls=[IMAGE])
def probabilities(run: Run, *, image: ImageSource = 0) -> Film:
    """Draw the probability that the network gives to each class for an image: the softmax of its output.

    Args:
        run: The run.
        image: The number of a sample, or any image.

    Raises:
        ImageError: If the image doesn't fit the network.
        ModelError: If the network can't be rebuilt.
    """
    values = drawable(logits_over_steps(run, as_image(run, image))[:, 0].flatten(1)).softmax(1).numpy()
    count = values.shape[1]
    names = run.classes if len(run.classes) == count else tuple(str(i) for i in range(count))
    bars = Bars("class probabilities", values, tuple(names), "probability", truth=_truth(run, image, count))
    return Film("What it predicts", (bars,), run.steps)


def _truth(run: Run, image: ImageSource, count: int) -> int | None:
    sample = run.samples[int(image)] if isinstance(image, (int, np.integer)) else image
    return sample.label if isinstance(sample, Sample) and 0 <= sample.label < count else None
