"""Event files for TensorBoard: the metrics as scalars, the weights as histograms, and what the run was as text."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from cnnviz.errors import ConfigError
from cnnviz.exporting.states import recorded_state

if TYPE_CHECKING:
    from pathlib import Path

    from cnnviz.recording.run import Run

MOST_HISTOGRAMS = 100
"""At how many snapshots there are histograms, at most, spread evenly: TensorBoard shows no more of them anyway."""


def write_events(run: Run, into: Path) -> int:
    """Write a run's metrics, the histograms of its weights and its manifest as event files.

    Returns:
        How many files were written.

    Raises:
        ConfigError: If tensorboard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ConfigError("exporting to tensorboard needs it: pip install 'cnnviz[tensorboard]'") from error
    with SummaryWriter(str(into)) as writer:
        writer.add_text("run", f"```json\n{json.dumps(asdict(run.manifest), indent=2)}\n```")
        for name in run.metrics:
            steps, values = run.metric(name)
            for step, value in zip(steps.tolist(), values.tolist(), strict=True):
                writer.add_scalar(name, value, step)
        for step in _spread(run.steps):
            for name, tensor in recorded_state(run, step).items():
                if tensor.is_floating_point():
                    _add_histogram(writer, f"state/{name}", tensor.double().numpy(), step)
    return sum(1 for path in into.iterdir() if path.is_file())


def _spread(steps: Any) -> list[int]:
    """Return at most so many of the steps, the first and the last among them."""
    places = np.linspace(0, len(steps) - 1, min(len(steps), MOST_HISTOGRAMS)).round().astype(int)
    return [int(step) for step in steps[places]]


def _add_histogram(writer: Any, tag: str, values: Any, step: int) -> None:
    finite = values[np.isfinite(values)]
    if finite.size:  # a diverged network may hold nothing that has a place on an axis
        writer.add_histogram(tag, finite, step)
