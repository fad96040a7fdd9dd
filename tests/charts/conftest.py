"""A still and a film of every kind of panel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from cnnviz.charts.chart import Bars, Curve, Curves, Film, Mosaic, Panel, Picture
from cnnviz.charts.theme import Scale

if TYPE_CHECKING:
    from collections.abc import Callable

STEPS = np.array([100, 200, 1200])


def _mosaic() -> Mosaic:
    cells = np.linspace(-1, 1, 3 * 4 * 2 * 2).reshape(3, 4, 2, 2)
    return Mosaic(
        "weights", cells, ("filter 0", "filter 1", "filter 2", "filter 3"), Scale(-1, 1, "signed", "weight")
    )


def _picture() -> Picture:
    return Picture("image", np.linspace(0, 1, 12).reshape(3, 4))


def _bars() -> Bars:
    values = np.array([[0.7, 0.2, 0.1], [0.3, 0.3, 0.4], [0.001, 0.004, 0.995]])
    return Bars("predicted class", values, ("cat", "dog", "fox"), "probability", truth=1)


def _curves() -> Curves:
    training = Curve("training error", STEPS, np.array([0.5, 0.25, 0.125]))
    return Curves(
        "errors",
        (training, Curve("validation error", STEPS, np.array([0.4, np.nan, 0.1]))),
        "error rate",
        percent=True,
    )


_SAMPLES: dict[type[Panel], Callable[[], Panel]] = {
    Mosaic: _mosaic,
    Picture: _picture,
    Bars: _bars,
    Curves: _curves,
}


@pytest.fixture(params=Panel.__subclasses__(), ids=lambda kind: kind.__name__)
def film(request: pytest.FixtureRequest) -> Film:
    """A film of one panel, for every kind that there is; a kind without a sample fails."""
    return Film("A film", (_SAMPLES[request.param](),), STEPS)


@pytest.fixture
def whole_film() -> Film:
    """A film of all kinds of panels."""
    return Film("A film", tuple(sample() for sample in _SAMPLES.values()), STEPS)
