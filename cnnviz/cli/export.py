"""`cnnviz export`: a run as plain files, for other tools."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cnnviz.cli.locating import find_run
from cnnviz.errors import ConfigError

if TYPE_CHECKING:
    from cnnviz.recording.run import Run


class Format(StrEnum):
    """What a run can be exported to."""

    SAFETENSORS = "safetensors"
    PT = "pt"
    TENSORBOARD = "tensorboard"


def export(
    run: Annotated[str, typer.Argument(help="A run's folder, its name under ./runs, or an archive's URL.")],
    to: Annotated[
        Format,
        typer.Option(
            help="safetensors, pt: one whole file a snapshot. tensorboard: event files of metrics and weights."
        ),
    ],
    into: Annotated[
        Path | None,
        typer.Option(help="The folder for the files; it must be empty or new.", show_default="./NAME-FORMAT"),
    ] = None,
    steps: Annotated[
        str | None,
        typer.Option(
            metavar="STEPS",
            help="Which snapshots: their steps, as 0,120,938, or FIRST:LAST:N, every Nth of those from step FIRST to "
            "step LAST, as 100: or ::10.",
            show_default="all",
        ),
    ] = None,
) -> None:
    """Write a run into plain files for other tools: its snapshots, or its curves for TensorBoard."""
    opened = find_run(run)
    chosen = opened if steps is None else choose(opened, steps)
    from cnnviz.checking.report import counted
    from cnnviz.exporting import export as write  # here, as it imports torch

    folder = into or Path(f"{opened.name}-{to.value}")
    count = write(chosen, to.value, folder)
    print(f"Wrote {counted(count, 'file')} into {folder}")


def choose(run: Run, text: str) -> Run:
    """Return the run of the snapshots that `text` names: "0,120,938", or "FIRST:LAST:N".

    Raises:
        ConfigError: If it is neither, or names none.
        StepError: If there is no snapshot at a step; the message names the nearest.
    """
    import numpy as np

    parts = text.split(":")
    if len(parts) == 1:
        wanted = sorted({_number(part, text) for part in text.split(",")})
        return run.only(np.array([run.at(step).step for step in wanted], np.int64))
    if len(parts) > 3:
        raise _no_steps(text)
    first, last, every = [_number(part, text) if part.strip() else None for part in [*parts, ""][:3]]
    if every is not None and every < 1:
        raise _no_steps(text)
    known = run.steps
    inside = known >= (first or 0)
    if last is not None:
        inside &= known <= last
    found = known[inside][:: every or 1]
    if not len(found):
        raise ConfigError(f"--steps {text} names no snapshot of {run.location}")
    return run.only(found)


def _number(part: str, text: str) -> int:
    if not part.strip().isdecimal():
        raise _no_steps(text)
    return int(part)


def _no_steps(text: str) -> ConfigError:
    return ConfigError(f"--steps {text} is neither steps, as 0,120, nor FIRST:LAST:N, as 100:900:10 or ::10")
