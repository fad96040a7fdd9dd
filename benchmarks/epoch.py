"""One epoch of the notebook's recipe on MNIST: its own loop, a bare loop in memory, and cnnviz with all it records.

Asked: cnnviz at least 2.3 times faster than the notebook's loop, and at most 1.05 times the bare loop.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from cnnviz import TrainConfig, fit
from cnnviz.data import load
from loops import bare_epoch, notebook_epoch

if TYPE_CHECKING:
    from collections.abc import Callable


def seconds(action: Callable[[], object]) -> float:
    """Return how long `action` takes."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def cnnviz_epoch(root: Path) -> float:
    """Train one epoch with cnnviz, and return the seconds that its loop took."""
    folder = Path(tempfile.mkdtemp())
    try:
        run = fit(TrainConfig(data_root=str(root), epochs=1), folder / "run")
        return float(run.metric("seconds")[1][-1])
    finally:
        shutil.rmtree(folder)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data-root", type=Path, required=True, help="torchvision root that holds MNIST")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    data = load("mnist", root=options.data_root)
    bare_epoch(data, 250)  # warms up the library and the caches
    notebook, bare, ours = [], [], []
    contests = [
        lambda: bare.append(seconds(lambda: bare_epoch(data, 250))),
        lambda: ours.append(cnnviz_epoch(options.data_root)),
        lambda: notebook.append(seconds(lambda: notebook_epoch(options.data_root))),
    ]
    for number in range(options.rounds):  # in turn, forwards and backwards, as the machine's speed drifts
        for contest in contests if number % 2 == 0 else reversed(contests):
            contest()
    to_notebook = [a / b for a, b in zip(notebook, ours, strict=True)]
    to_bare = [b / a for a, b in zip(bare, ours, strict=True)]
    print(f"{'loop':34} {'median s':>9} {'min s':>7}")
    for name, values in (
        ("notebook, DataLoader", notebook),
        ("bare, in memory", bare),
        ("cnnviz, all recorded", ours),
    ):
        print(f"{name:34} {statistics.median(values):9.2f} {min(values):7.2f}")
    print(f"notebook / cnnviz (asked: 2.3)     {statistics.median(to_notebook):9.2f}")
    print(f"cnnviz / bare     (asked: 1.05)    {statistics.median(to_bare):9.3f}")


if __name__ == "__main__":
    main()
