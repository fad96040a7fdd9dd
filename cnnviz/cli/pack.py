"""`cnnviz pack`: a run as one archive, smaller, and readable from an object store."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from cnnviz.cli.formats import size
from cnnviz.cli.locating import find_run
from cnnviz.errors import ConfigError

if TYPE_CHECKING:
    from cnnviz.recording.run import Run


def pack(
    run: Annotated[str, typer.Argument(help="A run's folder, or its name under ./runs.")],
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="[URL]",
            help="Where to: a folder that is not there yet, or a URL, as s3://bucket/name (also gs, az, file).",
            show_default="the run's folder + .zarr",
        ),
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify/--no-verify", help="Read every snapshot back and compare its digest.")
    ] = True,
) -> None:
    """Pack a run into an archive: one Zarr v3 store, which every command reads like the run.

    The run stays as it is.
    """
    opened = find_run(run)
    where = target or _beside(opened)
    from rich.console import Console
    from rich.progress import Progress

    from cnnviz.archive import pack as write  # here, as it imports torch
    from cnnviz.archive.opening import archive_bytes
    from cnnviz.checking.report import counted

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("packing", total=1.0)
        location = write(
            opened, where, verify=verify, tell=lambda done: progress.update(task, completed=done)
        )
    raw, packed = sum(entry.bytes for entry in opened.entries()), archive_bytes(location)
    share = f", {packed / raw:.2f} of their {size(raw)}" if raw else ""
    checked = ", read back and compared" if verify else ""
    print(f"Packed {opened.location} into {location}")
    print(f"{counted(len(opened), 'snapshot')}{checked}: {size(packed)}{share}")


def _beside(run: Run) -> str:
    """Return where an archive goes if nobody says."""
    if "://" in run.location or run.location.endswith(".zarr"):
        raise ConfigError(
            f"{run.location} is an archive already; name the place for another: cnnviz pack RUN URL"
        )
    path = run.path if run.path.name not in ("", "..") else run.path.resolve()
    return f"{path}.zarr"
