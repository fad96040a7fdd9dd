"""Scalars from TensorBoard's event files."""

from __future__ import annotations

import os
from contextlib import nullcontext
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

from cnnviz.errors import ConfigError, DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnviz.importing.damaged import Damaged

Curve = dict[int, float]

MARK = "events.out.tfevents."
"""What the names of event files begin with."""


def scalars(files: Sequence[Path], damaged: Damaged | None = None) -> dict[int, dict[str, float]]:
    """Return step to metrics, under the tags that they were written with; of a step the value written last.

    Where folders hold different values of one tag at one step, as with TensorBoard's own `train` and `validation`,
    the tag is preceded by its folder.

    Args:
        files: TensorBoard's event files.
        damaged: What becomes of those that hold no event; None raises.

    Raises:
        ConfigError: If TensorBoard isn't installed.
        DataError: If a file holds no event.
    """
    folders: dict[Path, dict[str, Curve]] = {}
    for folder in sorted({file.parent for file in files}):
        folders[folder] = _curves([file for file in files if file.parent == folder], damaged)
    base = Path(os.path.commonpath(folders)) if folders else Path()
    found: dict[int, dict[str, float]] = {}
    apart = _tags_to_keep_apart(folders)
    for folder, curves in folders.items():
        before = folder.relative_to(base).as_posix() + "/" if folder != base else ""
        for tag, curve in curves.items():
            for step, value in curve.items():
                found.setdefault(step, {})[before + tag if tag in apart else tag] = value
    return found


def _tags_to_keep_apart(folders: dict[Path, dict[str, Curve]]) -> set[str]:
    return {
        tag
        for one, other in combinations(folders.values(), 2)
        for tag in one.keys() & other
        if one[tag].keys() & other[tag]
    }


def _curves(files: Sequence[Path], damaged: Damaged | None) -> dict[str, Curve]:
    """Return tag to values by step, of all event files of one folder."""
    points: dict[tuple[str, int], tuple[float, float]] = {}
    for file in files:
        found: list[tuple[str, int, float, float]] = []
        with damaged.tolerated() if damaged is not None else nullcontext():
            found = _points(file)
        for tag, step, moment, value in found:
            if step >= 0 and moment >= points.get((tag, step), (moment, value))[0]:
                points[tag, step] = (moment, value)
    curves: dict[str, Curve] = {}
    for (tag, step), (_, value) in sorted(points.items()):
        curves.setdefault(tag, {})[step] = value
    return curves


def _points(file: Path) -> list[tuple[str, int, float, float]]:
    """Return tag, step, time in seconds and value of all scalars of one file."""
    try:
        from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
        from tensorboard.util.tensor_util import make_ndarray
    except ImportError as error:
        raise ConfigError(
            f"{file} can be read with TensorBoard only: pip install 'cnnviz[tensorboard]', "
            "or name the checkpoints without it"
        ) from error
    found = []
    events = 0
    plugins: dict[str, str] = {}  # a tag says what it is at its first event only
    for event in EventFileLoader(str(file)).Load():
        events += 1
        for value in event.summary.value:
            plugin = value.metadata.plugin_data.plugin_name or plugins.get(value.tag)
            plugins[value.tag] = plugin or ""
            if plugin == "scalars":
                number = float(make_ndarray(value.tensor).item())
                found.append((value.tag, int(event.step), float(event.wall_time), number))
    if not events:
        raise DataError(f"{file} holds no event; it is damaged, or not TensorBoard's")
    return found
