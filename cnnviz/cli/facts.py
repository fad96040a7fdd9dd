"""What there is to say of a run, as JSON can hold it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from cnnviz.cli.failures import explain
from cnnviz.errors import CnnvizError

if TYPE_CHECKING:
    from pathlib import Path

    from cnnviz.recording.run import Run

ERRORS = ("train/error", "validation/error", "test/error")
"""The error rates that every list of runs shows."""


def summary(run: Run) -> dict[str, Any]:
    """Return the few facts by which a run is found among others."""
    steps = run.steps.tolist()
    known = set(run.metrics)
    errors = {name.replace("/", "_"): last_value(run, name) if name in known else None for name in ERRORS}
    return {
        "name": run.name,
        "path": run.location,
        "status": run.status,
        "detail": run.detail,
        "network": run.manifest.network,
        "data": run.manifest.description.data,
        "snapshots": len(steps),
        "first_step": steps[0] if steps else None,
        "last_step": steps[-1] if steps else None,
        **errors,
        "created": run.manifest.created,
    }


def summary_or_problem(path: Path) -> dict[str, Any]:
    """Return the summary of the run at `path`; if it can't be read, its name, path and problem."""
    from cnnviz.recording.run import open_run

    try:
        return summary(open_run(path))
    except CnnvizError as error:
        return unreadable(path, explain(error) or str(error))


def unreadable(path: Path, problem: str) -> dict[str, Any]:
    """Return what there is to say of a run at `path` that can't be read."""
    return {"name": path.name, "path": str(path), "status": "unreadable", "problem": problem}


def details(run: Run) -> dict[str, Any]:
    """Return all that a run tells of itself, but for the curves and the weights."""
    manifest = run.manifest
    description = manifest.description
    samples = len(run.samples)
    recorded = manifest.samples.count if manifest.samples is not None else samples
    return {
        **summary(run),
        "id": manifest.id,
        "class_name": manifest.class_name,
        "parameters": manifest.parameters,
        "arguments": dict(description.arguments),
        "classes": list(description.classes),
        "config": dict(description.config),
        "seed": description.seed,
        "bytes": sum(entry.bytes for entry in run.entries()),
        "missing": str(run.missing),
        "samples": samples,
        "samples_recorded": recorded,
        "examples": len(run.examples),
        "layers_from": manifest.layers_from,
        "metrics": {name: last_value(run, name) for name in run.metrics},
        "layers": [
            {"name": name, "kind": kind, "shape": list(run.shapes[name]) if name in run.shapes else None}
            for name, kind in run.layers
        ],
        "software": dict(manifest.software),
    }


def last_value(run: Run, name: str) -> float | None:
    """Return the last value of a metric; None if there is none or it is not finite, which JSON can't hold."""
    values = run.metric(name)[1]
    return float(values[-1]) if len(values) and math.isfinite(values[-1]) else None
