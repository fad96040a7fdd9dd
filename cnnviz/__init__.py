"""cnnviz shows how a CNN learns, and why it predicts what it predicts, at every moment of its training."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from cnnviz import data, models, plots
    from cnnviz.charts.chart import Chart, Film
    from cnnviz.errors import CnnvizError
    from cnnviz.probe import Probe
    from cnnviz.recording.manifest import Description
    from cnnviz.recording.recorder import Recorder
    from cnnviz.recording.run import Run, list_runs, open_run
    from cnnviz.recording.schedule import at, epochs, every, log_spaced, within
    from cnnviz.recording.snapshot import Snapshot
    from cnnviz.training.config import TrainConfig
    from cnnviz.training.loop import fit

# Loaded when first used, so that `import cnnviz` is quick and does not import torch.
_HOMES = {
    "Chart": "cnnviz.charts.chart",
    "CnnvizError": "cnnviz.errors",
    "Description": "cnnviz.recording.manifest",
    "Film": "cnnviz.charts.chart",
    "Probe": "cnnviz.probe",
    "Recorder": "cnnviz.recording.recorder",
    "Run": "cnnviz.recording.run",
    "Snapshot": "cnnviz.recording.snapshot",
    "TrainConfig": "cnnviz.training.config",
    "at": "cnnviz.recording.schedule",
    "epochs": "cnnviz.recording.schedule",
    "every": "cnnviz.recording.schedule",
    "fit": "cnnviz.training.loop",
    "list_runs": "cnnviz.recording.run",
    "log_spaced": "cnnviz.recording.schedule",
    "open_run": "cnnviz.recording.run",
    "within": "cnnviz.recording.schedule",
}
_PACKAGES = ("data", "models", "plots")

__all__ = [
    "Chart",
    "CnnvizError",
    "Description",
    "Film",
    "Probe",
    "Recorder",
    "Run",
    "Snapshot",
    "TrainConfig",
    "at",
    "data",
    "epochs",
    "every",
    "fit",
    "list_runs",
    "log_spaced",
    "models",
    "open_run",
    "plots",
    "within",
]


def __getattr__(name: str) -> Any:
    if name in _PACKAGES:
        return importlib.import_module(f"cnnviz.{name}")
    if name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'cnnviz' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
