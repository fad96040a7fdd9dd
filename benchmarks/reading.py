"""Reading a run of 1,000 snapshots: opening it, one parameter at all steps, and the feature maps of one image.

Asked: open_run 50 ms, series 50 ms, the film of relu2 computed in 0.15 s and equal to the plain loop's within 1e-6.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import torch

import cnnviz
from thousand import record_every_step

if TYPE_CHECKING:
    from collections.abc import Callable


def median_ms(action: Callable[[], object], rounds: int = 7) -> float:
    """Return the median milliseconds of `action`, the first time left out."""
    action()
    times = []
    for _ in range(rounds):
        begun = time.perf_counter()
        action()
        times.append((time.perf_counter() - begun) * 1e3)
    return statistics.median(times)


def looped_maps(run: cnnviz.Run, image: torch.Tensor) -> torch.Tensor:
    """The slow, obvious twin: rebuild the network at each step, and run it as far as relu2."""
    maps = []
    with torch.no_grad():
        for snapshot in run:
            model = snapshot.model()
            maps.append(model.relu2(model.conv2(model.pool1(model.relu1(model.conv1(image)))))[0])
    return torch.stack(maps)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--run", type=Path, help="a recorded run; by default one is made")
    path = parser.parse_args().run or Path(tempfile.mkdtemp()) / "thousand"
    if not path.exists():
        record_every_step(path)
    run = cnnviz.open_run(path)
    image = run.samples[3].image[None]
    film = cnnviz.plots.feature_maps(run, image=3, layer="relu2")
    begun = time.perf_counter()
    slow = looped_maps(run, image)
    loop = (time.perf_counter() - begun) * 1e3
    fast = torch.from_numpy(film.panels[1].cells)
    difference = float((fast - slow).abs().max() / slow.abs().max())
    rows = [
        ("open_run, with its index", median_ms(lambda: len(cnnviz.open_run(path))), "50 ms"),
        ("run.series('conv1.weight')", median_ms(lambda: run.series("conv1.weight")), "50 ms"),
        (
            "film of relu2, vectorized",
            median_ms(lambda: cnnviz.plots.feature_maps(run, image=3, layer="relu2")),
            "150 ms",
        ),
        ("film of relu2, model by model", loop, ""),
    ]
    print(f"{len(run)} snapshots\n{'what':34} {'median':>11}   asked")
    for name, milliseconds, asked in rows:
        print(f"{name:34} {milliseconds:8.1f} ms   {asked}")
    print(f"{'loop / vectorized':34} {loop / rows[2][1]:11.1f}")
    print(f"{'largest difference / largest value':34} {difference:11.1e}   1e-6")


if __name__ == "__main__":
    main()
