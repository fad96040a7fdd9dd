"""Doing a training that was asked for: say what, train, say how it ended."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING

import typer

from cnnviz.cli.formats import duration, percent
from cnnviz.cli.locating import RUNS
from cnnviz.cli.reporters import make_reporter
from cnnviz.cli.resuming import resume_command
from cnnviz.errors import CnnvizError
from cnnviz.training.interrupt import Interrupt

if TYPE_CHECKING:
    from cnnviz.cli.job import Job
    from cnnviz.cli.reporters import Reporter
    from cnnviz.recording.run import Run
    from cnnviz.training.progress import Progress


def perform(job: Job, *, quiet: bool) -> None:
    """Train, showing on stderr where it stands, and print on stdout how it ended.

    Raises:
        CnnvizError: If it can't be done, or diverged.
        typer.Exit: With code 130, if it was stopped with Ctrl-C.
    """
    try:
        # Whole, as Ctrl-C in the midst of an import leaves files open; and after something was said, as the
        # import takes seconds.
        with Interrupt() as interrupt:
            if not quiet:
                _tell(_announcement(job))
            import cnnviz.training.loop  # noqa: F401 (for `_fit`)
        if interrupt.requested:
            raise KeyboardInterrupt
        run = _fit(job, quiet=quiet)
    finally:
        job.leave_no_empty_folder()
    if not quiet:
        _print_end(run)
    if run.status == "diverged":
        raise CnnvizError(f"the training diverged {run.detail}: --lr {job.config.lr / 10:g}")
    if run.status == "stopped":
        raise typer.Exit(130)


def _announcement(job: Job) -> str:
    verb = "Going on with" if job.resume else "Training"
    epochs = f"{job.config.epochs} epoch{'s' if job.config.epochs > 1 else ''}"
    return f"{verb} {job.config.model} on {job.config.data} for {epochs} into {job.path}"


def _fit(job: Job, *, quiet: bool) -> Run:
    from cnnviz.training.loop import fit  # here, as it imports torch

    with make_reporter(quiet=quiet) as reporter:
        progress = None if quiet else _announced(job, reporter)
        return fit(job.config, job.path, resume=job.resume, progress=progress)


def _announced(job: Job, reporter: Reporter) -> Reporter:
    """Return a reporter that first tells, once, what is known since the network was built."""
    said = False

    def tell(progress: Progress) -> None:
        nonlocal said
        if not said:
            from cnnviz.recording.run import open_run
            from cnnviz.training.device import pick_device

            said = True
            parameters = open_run(job.path).manifest.parameters
            _tell(f"{parameters:,} parameters on {pick_device(job.config.device)}, {progress.steps:,} steps")
        reporter(progress)

    return tell


def _print_end(run: Run) -> None:
    known = set(run.metrics)
    facts = [
        f"{which} error {percent(run.metric(f'{which}/error')[1][-1])}"
        for which in ("test", "validation")
        if f"{which}/error" in known
    ]
    if "seconds" in known:
        facts.append(f"{duration(run.metric('seconds')[1][-1])} of training")
    detail = [run.detail.partition(":")[0]] if run.detail else []
    root = run.path.parent
    rows = {
        run.status: ", ".join([*detail, *facts]) or "nothing was measured yet",
        "run": f"{run.path}, {len(run):,} snapshots",
        "look": "cnnviz dashboard" + ("" if root == RUNS else f" {shlex.quote(str(root))}"),
    }
    if run.status == "stopped":
        rows["go on"] = resume_command(root, run.name)
    for title, text in rows.items():
        print(f"{title:10}{text}")


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
