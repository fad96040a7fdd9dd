"""What a long run costs to open: 10,000 snapshots and 100,000 rows of metrics.

Asked: `open_run` and the runs page in 0.3 s; no memory that grows with the number of snapshots; 100,000 rows in
0.1 s; one layer at one step in 1 ms, a small layer over 1,000 steps in 50 ms.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import torch

import cnnviz
from cnnviz.models import build

if TYPE_CHECKING:
    from collections.abc import Callable

_MEMORY = """
import resource, sys
import cnnviz
run = cnnviz.open_run(sys.argv[1])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
len(run), run.steps, run.at(int(run.steps[-1])).digest, run.last.state["conv1.weight"]
for snapshot in run:
    snapshot.state["conv1.bias"]
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def make_run(path: Path, snapshots: int) -> cnnviz.Run:
    """Record a small convnet that changes at every step, with ten metrics a step."""
    model = build("convnet", channels=1, classes=10, image_size=28, hidden=8)
    with cnnviz.Recorder(path, model, snapshots=cnnviz.every(1)) as recorder:
        for step in range(snapshots):
            with torch.no_grad():
                model.conv1.bias.fill_(step)
                for parameter in model.parameters():
                    parameter += 1e-3
            recorder.record(
                step, {f"group/metric{k}": step * k for k in range(10)} | {"train/error": 1 / (step + 1)}
            )
    return cnnviz.open_run(path)


def milliseconds(function: Callable[[], object], times: int = 7) -> float:
    """Return the median time of a call, in milliseconds."""
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        function()
        taken.append((time.perf_counter() - started) * 1e3)
    return statistics.median(taken)


def page(root: Path) -> Callable[[], object]:
    """Return what makes the dashboard's table of runs."""
    from cnnviz_dashboards.folder import RunFolder
    from cnnviz_dashboards.pages import runs

    return lambda: runs.table(RunFolder(root))


def memory(path: Path) -> float:
    """Return how many MiB a new process grows by that opens a run and looks into every snapshot."""
    command = [sys.executable, "-c", _MEMORY, str(path)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout) / 1024


def main() -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        few = make_run(Path(folder) / "few" / "run", 100)
        run = make_run(Path(folder) / "many" / "run", 10_000)
        small = make_run(Path(folder) / "thousand" / "run", 1000)
        last = int(run.steps[-1])
        rows: list[tuple[str, str, str]] = [
            (
                "open_run and its steps, 10,000 snapshots",
                f"{milliseconds(lambda: cnnviz.open_run(run.path).steps):.1f} ms",
                "300 ms",
            ),
            ("the runs page with that run", f"{milliseconds(page(run.path.parent)):.1f} ms", "300 ms"),
            ("10,000 rows of one metric", f"{milliseconds(lambda: run.metric('train/error')):.1f} ms", ""),
            (
                "all 110,000 rows of metrics",
                f"{milliseconds(lambda: [run.metric(name) for name in run.metrics]):.1f} ms",
                "100 ms for 100,000",
            ),
            (
                "one layer at one step",
                f"{milliseconds(lambda: run.at(last).state['conv1.weight'], 100):.2f} ms",
                "1 ms",
            ),
            (
                "one small layer over 1,000 steps",
                f"{milliseconds(lambda: small.series('conv1.weight')):.1f} ms",
                "50 ms",
            ),
            ("memory, looking at 100 snapshots", f"{memory(few.path):.1f} MiB", ""),
            ("memory, looking at 10,000 snapshots", f"{memory(run.path):.1f} MiB", "the same"),
        ]
    print(f"{'what':44} {'measured':>12}   asked")
    for row in rows:
        print(f"{row[0]:44} {row[1]:>12}   {row[2]}")


if __name__ == "__main__":
    main()
