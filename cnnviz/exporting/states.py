"""The states of snapshots on their way out: none leaves that is not what was recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cnnviz.errors import RunError
from cnnviz.recording.archives import is_archive
from cnnviz.recording.digest import state_digest, tensor_digest

if TYPE_CHECKING:
    from torch import Tensor

    from cnnviz.recording.run import Run


def recorded_state(run: Run, step: int) -> dict[str, Tensor]:
    """Return the tensors of a snapshot by name.

    Raises:
        RunError: If they can't be read, or are not what was recorded.
    """
    tensors = run.store.tensors(step)
    digest = state_digest({name: tensor_digest(tensor) for name, tensor in tensors.items()})
    if any(entry.digest != digest for entry in run.store.entries(np.array([step]))):
        way_out = (
            "pack it anew from its run"
            if is_archive(run.location)
            else f"see what else is damaged with: cnnviz check {run.location}"
        )
        raise RunError(
            f"{run.location} at step {step} is not what was recorded there: its digest is another than the index "
            f"tells; it is not exported; {way_out}"
        )
    return tensors
