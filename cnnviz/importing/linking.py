"""Safetensors files that become part of a run as they are, as hard links: no byte is copied."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cnnviz.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from cnnviz.importing.checkpoint import Checkpoint
    from cnnviz.importing.states import State
    from cnnviz.recording.writer import RunWriter


def check_linkable(checkpoints: Sequence[Checkpoint], target: Path) -> None:
    """Raise if no checkpoint can be linked into a run at `target`, or one lies on another file system.

    Raises:
        ConfigError: If so; the message names the file.
    """
    files = [file for checkpoint in checkpoints if checkpoint.linkable for file in checkpoint.files]
    if not files:
        raise ConfigError("there are no safetensors files to link: leave --link out, other kinds are copied")
    home = next(folder for folder in (target.absolute(), *target.absolute().parents) if folder.exists())
    device = home.stat().st_dev
    for file in files:
        if file.stat().st_dev != device:
            raise ConfigError(_apart(file, target, "they lie on two file systems"))


def link(writer: RunWriter, step: int, metrics: Mapping[str, float], state: State) -> None:
    """Make the snapshot of `step` of the state's own files.

    Raises:
        ConfigError: If the file system can't do it.
        RunError: If a file is damaged.
    """
    files = state.checkpoint.files
    names = {new: (state.homes[old], old) for new, old in state.fit.names.items()}
    try:
        writer.link(step, metrics, files, names)
    except OSError as error:
        where = os.fspath(error.filename or files[0])
        raise ConfigError(_apart(where, writer.layout.root, error.strerror or str(error))) from error


def _apart(file: str | Path, target: Path, reason: str) -> str:
    return f"{file} can't be linked into {target}: {reason}; leave --link out to copy instead"
