"""A run with all that a run can hold, and a way to damage files."""

import pytest
import torch
from checking_runs import passes, write

from cnnviz.recording.checkpoint import write_checkpoint
from cnnviz.recording.layout import Layout


@pytest.fixture
def layout(tmp_path):
    """A finished run with snapshots at 0, 10, ... 90, of which all but the first share the frozen body."""
    path = tmp_path / "r"
    write(path, range(0, 100, 10), codes=passes(3))
    write_checkpoint(path, {"weight": torch.zeros(3)}, {"step": 90})
    return Layout(path)


@pytest.fixture
def flip():
    """Change bytes of a file in place."""

    def change(path, at=-8, count=4):
        data = bytearray(path.read_bytes())
        at %= len(data)
        for index in range(at, min(at + count, len(data))):
            data[index] ^= 0xFF
        path.write_bytes(data)

    return change
