"""Exporting a run, in one of the formats there are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cnnviz.errors import ConfigError, RunError
from cnnviz.exporting.event_files import write_events
from cnnviz.exporting.snapshot_files import write_checkpoints, write_safetensors

if TYPE_CHECKING:
    from collections.abc import Callable
    from os import PathLike

    from cnnviz.recording.run import Run

FORMATS: dict[str, Callable[[Run, Path], int]] = {
    "safetensors": write_safetensors,
    "pt": write_checkpoints,
    "tensorboard": write_events,
}
"""What a run can be exported to; each function writes into an empty folder and returns how many files it wrote."""


def export(run: Run, to: str, into: str | PathLike[str]) -> int:
    """Write a run into plain files.

    Args:
        run: The run, or some of its snapshots, as `run[::10]`; what it holds by now, if it is still running.
        to: One of `FORMATS`: "safetensors" or "pt", one whole file a snapshot; "tensorboard", event files.
        into: The folder for the files; it must be empty, or not there yet.

    Returns:
        How many files were written.

    Raises:
        ConfigError: If there is no such format, or its library is not installed.
        RunError: If something lies in the folder, it can't be written, or the run can't be read or
            holds another state than was recorded.
    """
    if to not in FORMATS:
        raise ConfigError(f"a run can't be exported to {to!r}; the formats are {', '.join(FORMATS)}")
    into = Path(into)
    try:
        if into.exists() and (not into.is_dir() or any(into.iterdir())):
            raise RunError(f"{into} exists already, and nothing is overwritten: choose another folder")
        into.mkdir(parents=True, exist_ok=True)
        return FORMATS[to](run[:], into)
    except OSError as error:
        raise RunError(f"{into} can't be written: {error.strerror or error}") from error
