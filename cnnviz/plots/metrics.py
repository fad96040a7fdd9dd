"""Plots of what was measured while the network was trained."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cnnviz.charts.chart import Chart, Curve, Curves
from cnnviz.errors import RunError
from cnnviz.plots.plot import plot

if TYPE_CHECKING:
    from cnnviz.recording.run import Run

# As cnnviz names them, "validation/error", or as other libraries do: "eval_error", "val.error".
_ENDING = re.compile(r"[/_.]error$")
_FIRST = ("train/error", "validation/error", "test/error")


def _label(name: str) -> str:
    return {"train/error": "training"}.get(name, _ENDING.sub("", name))


@plot("errors")
def errors(run: Run) -> Chart:
    """Draw the recorded error rates over the steps: training, validation, and the test's at the end.

    The training error is the mean over the epoch so far, with dropout on; so it may lie above the validation error.

    Args:
        run: The run.

    Raises:
        RunError: If no metric that ends in "error" was recorded.
    """
    known = [name for name in run.metrics if _ENDING.search(name) or name == "error"]
    if not known:
        raise RunError(
            f"{run.location} has no metric that ends in 'error'; it has {', '.join(run.metrics) or 'none'}"
        )
    ordered = [name for name in _FIRST if name in known] + [name for name in known if name not in _FIRST]
    curves = tuple(Curve(_label(name), *run.metric(name)) for name in ordered)
    return Chart(f"Error rates of {run.name}", (Curves("", curves, "error rate", percent=True),))
