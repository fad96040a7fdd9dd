"""What recording costs: `record` with a snapshot of the convnet, and training with a snapshot at every step.

Asked: at most 0.6 ms at the median, and a training slower by at most 12 %.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from pathlib import Path

import torch
from torch.nn import functional

import cnnviz
from cnnviz.data import load
from loops import BATCH, new_convnet

STEPS = 300


def train(
    data: cnnviz.data.split.Data, recorder: cnnviz.Recorder | None, model, optimizer
) -> tuple[float, list[float]]:
    """Train for some steps; return the seconds they took, and the milliseconds of each call of `record`."""
    order = torch.randperm(len(data.train), generator=torch.Generator().manual_seed(0))
    order = order.repeat(4)[: STEPS * BATCH]
    calls = []
    started = time.perf_counter()
    for step, (images, labels) in enumerate(data.train.batches(order, BATCH, "cpu")):
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        if recorder is not None:
            begun = time.perf_counter()
            recorder.record(step, {"train/loss": loss})
            calls.append((time.perf_counter() - begun) * 1e3)
    return time.perf_counter() - started, calls


def side_by_side(model: torch.nn.Module, folder: Path) -> tuple[float, float]:
    """Return the median milliseconds of `record` with a snapshot, and of `torch.save` of the same state, in turn."""
    ours, theirs = [], []
    with cnnviz.Recorder(folder / "alone", model, snapshots=cnnviz.every(1)) as recorder:
        for step in range(STEPS):
            begun = time.perf_counter()
            recorder.record(step, {"train/loss": 1.0})
            between = time.perf_counter()
            torch.save(model.state_dict(), folder / f"{step}.pt")
            theirs.append((time.perf_counter() - between) * 1e3)
            ours.append((between - begun) * 1e3)
    return statistics.median(ours), statistics.median(theirs)


def main() -> None:
    data = load("mnist-mini")
    train(data, None, *new_convnet())  # warms up
    ratios, inside, alone, saves = [], [], [], []
    for _ in range(7):  # in turn, as the machine's speed drifts
        folder = Path(tempfile.mkdtemp())
        bare, _ = train(data, None, *new_convnet())
        model, optimizer = new_convnet()
        with cnnviz.Recorder(folder / "run", model, snapshots=cnnviz.every(1)) as recorder:
            recorded, calls = train(data, recorder, model, optimizer)
        ratios.append(recorded / bare)
        inside.append(statistics.median(calls))
        ours, theirs = side_by_side(model, folder)
        alone.append(ours)
        saves.append(theirs)
        shutil.rmtree(folder)
    rows = [
        ("record with a snapshot (asked: 0.6 ms)", alone, "ms"),
        ("torch.save of the same state, in turn", saves, "ms"),
        ("record with a snapshot, within a training", inside, "ms"),
        ("a snapshot at every step / bare (asked: 1.12)", ratios, ""),
    ]
    print(f"{'what':46} {'median':>9} {'best':>9}")
    for name, values, unit in rows:
        print(f"{name:46} {statistics.median(values):6.2f} {unit:2} {min(values):6.2f} {unit:2}")


if __name__ == "__main__":
    main()
