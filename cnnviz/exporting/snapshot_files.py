"""One whole file a snapshot, which needs no cnnviz to be read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnviz.errors import RunError
from cnnviz.exporting.states import recorded_state
from cnnviz.recording.tensors import write_tensors

if TYPE_CHECKING:
    from pathlib import Path

    from cnnviz.recording.run import Run


def write_safetensors(run: Run, into: Path) -> int:
    """Write each snapshot's state to step_<step>.safetensors.

    Each is a file that torch's and transformers' loaders take; its metadata tell the step and the run's id.

    Returns:
        How many files were written.
    """
    for step in run.steps.tolist():
        # "format" is what transformers asks for.
        metadata = {"format": "pt", "cnnviz.step": str(step), "cnnviz.run": run.manifest.id}
        write_tensors(into / f"step_{step:08d}.safetensors", recorded_state(run, step), metadata=metadata)
    return len(run)


def write_checkpoints(run: Run, into: Path) -> int:
    """Write each snapshot's state to step_<step>.pt, for `torch.load(path, weights_only=True)`.

    Returns:
        How many files were written.
    """
    import torch

    for step in run.steps.tolist():
        path = into / f"step_{step:08d}.pt"
        temporary = path.with_name(path.name + ".tmp")
        state = recorded_state(run, step)
        try:
            torch.save(state, temporary)
        except RuntimeError as error:  # what torch makes of a full disk
            temporary.unlink(missing_ok=True)
            raise RunError(f"{path} can't be written: {error}") from error
        temporary.replace(path)
    return len(run)
