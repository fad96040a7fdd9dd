"""`cnnviz check`: whether all that a run holds is whole, and its repair."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnnviz.cli.formats import size
from cnnviz.cli.locating import RUNS, find_run, repair_command
from cnnviz.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import Tensor

    from cnnviz.checking.report import Finding, Progress, Repair, Report
    from cnnviz.recording.manifest import Manifest


def check(
    run: Annotated[str, typer.Argument(help="A run's folder, or its name under ./runs.")],
    repair: Annotated[
        bool,
        typer.Option(
            "--repair",
            help="Make the run whole: what is damaged moves to its folder damaged/, what is whole and forgotten "
            "comes back. Nothing is deleted that might hold something.",
        ),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a JSON object instead of sentences.")
    ] = False,
) -> None:
    """Read all of a run, say what is wrong with it, and repair it."""
    from cnnviz.checking.check import check_run
    from cnnviz.checking.repair import repair_run

    path = _find(run)
    if repair:
        with _progress() as progress:
            repaired = repair_run(path, progress, _guess_network)
        _print_json(_repair_facts(repaired)) if as_json else _print_repair(repaired)
        return
    with _progress() as progress:
        report = check_run(path, progress)
    _print_json(_report_facts(report)) if as_json else _print_report(report)
    if not report.ok:
        raise typer.Exit(1)


def _find(text: str) -> Path:
    """Return the folder of the run at `text`, or of that name under ./runs, be it damaged.

    Raises:
        RunError: If there is none.
    """
    from cnnviz.checking.folder import looks_like_run
    from cnnviz.recording.archives import is_archive

    path = Path(text).expanduser()
    for candidate in (path, RUNS / text):
        if looks_like_run(candidate) or is_archive(candidate):
            return candidate
    return Path(find_run(text).location)


def _guess_network(state: Mapping[str, Tensor], image_size: int | None) -> Manifest | None:
    """Return what there is to say of the built-in convnet if the weights are its own; None if they are another's.

    Only of this one the weights tell all that it was built with.
    """
    import torch

    from cnnviz.importing.network import find_network
    from cnnviz.recording.describing import describe_built, make_manifest

    try:
        network = find_network("convnet", state, {}, image_size, "the run")
    except ModelError:
        return None
    if network.shapes().keys() != state.keys():
        return None
    shape = (1, network.arguments["channels"], *2 * [network.arguments["image_size"]])
    samples = torch.zeros(shape), torch.zeros(1, dtype=torch.int64)
    return make_manifest(network.model, samples, describe_built(network.model))


def _print_report(report: Report) -> None:
    from cnnviz.checking.report import counted

    for finding in report.findings:
        print(f"{finding.words}; {finding.way_out}")
    for note in report.notes:
        print(f"Note: {note.words}; {note.way_out}")
    if report.ok:
        read = f"{counted(report.metrics, 'metric')}, {size(report.bytes)} read"
        print(f"{report.location} is whole: {counted(report.snapshots, 'snapshot')}, {read}")
    elif any(finding.kind != "forbidden" for finding in report.findings):
        print(f"Repair it with: {repair_command(report.location)}")


def _print_repair(repair: Repair) -> None:
    for action in repair.actions:
        print(action)
    if not repair.actions:
        print(f"{repair.location} is whole; there was nothing to repair")
    elif repair.aside is not None:
        print(f"{repair.location} is whole now; what was taken away lies in {repair.aside}")
    else:
        print(f"{repair.location} is whole now")


def _report_facts(report: Report) -> dict[str, Any]:
    return {
        "path": report.location,
        "ok": report.ok,
        "findings": [_finding_facts(finding) for finding in report.findings],
        "notes": [_finding_facts(note) for note in report.notes],
        "snapshots": report.snapshots,
        "metrics": report.metrics,
        "bytes": report.bytes,
    }


def _finding_facts(finding: Finding) -> dict[str, str]:
    return {
        "kind": finding.kind,
        "path": str(finding.path),
        "words": finding.words,
        "way_out": finding.way_out,
    }


def _repair_facts(repair: Repair) -> dict[str, Any]:
    aside = None if repair.aside is None else str(repair.aside)
    return {"path": repair.location, "actions": list(repair.actions), "aside": aside}


def _print_json(facts: dict[str, Any]) -> None:
    import json

    print(json.dumps(facts, indent=2))


@contextmanager
def _progress() -> Iterator[Progress | None]:
    """Show on stderr how many snapshots are read; nothing where that is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    console = Console(stderr=True, markup=False, emoji=False, highlight=False)
    columns = ("reading snapshots", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
