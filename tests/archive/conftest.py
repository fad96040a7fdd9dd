"""A small run in memory, and its archive."""

import numpy as np
import pytest


@pytest.fixture
def small_run():
    """A run of 150 snapshots, which take more than one period."""
    from runs_in_memory import DictStore, walk

    from cnnviz.recording.run import Run

    metrics = {
        "train/loss": (np.arange(150), np.linspace(2, 0.1, 150)),
        "learning_rate": (np.array([0, 7]), np.array([np.nan, -0.0])),
    }
    return Run(DictStore(walk((5, 7), 150), metrics))


@pytest.fixture
def packed(small_run, tmp_path):
    """The archive of `small_run`, a path."""
    from cnnviz.archive import pack

    path = tmp_path / "small.zarr"
    pack(small_run, path)
    return path
