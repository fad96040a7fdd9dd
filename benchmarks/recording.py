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


def torch_save(model: torch.nn.Module, folder: Path) -> float:
    """Return the median milliseconds of `torch.save` of the same state."""
    times = []
    for step in range(STEPS):
        begun = time.perf_counter()
        torch.save(model.state_dict(), folder / f"{step}.pt")
        times.append((time.perf_counter() - begun) * 1e3)
    return statistics.median(times)


def main() -> None:
    data = load("mnist-mini")
    train(data, None, *new_convnet())  # warms up
    ratios, medians, saves = [], [], []
    for _ in range(7):  # in turn, as the machine's speed drifts
        folder = Path(tempfile.mkdtemp())
        bare, _ = train(data, None, *new_convnet())
        model, optimizer = new_convnet()
        with cnnviz.Recorder(folder / "run", model, snapshots=cnnviz.every(1)) as recorder:
            recorded, calls = train(data, recorder, model, optimizer)
        saves.append(torch_save(model, folder))
        ratios.append(recorded / bare)
        medians.append(statistics.median(calls))
        shutil.rmtree(folder)
    print(f"{'what':46} {'median':>9} {'best':>9}")
    print(
        f"{'record with a snapshot (asked: 0.6 ms)':46} {statistics.median(medians):6.2f} ms {min(medians):6.2f} ms"
    )
    print(f"{'torch.save of the same state':46} {statistics.median(saves):6.2f} ms {min(saves):6.2f} ms")
    print(
        f"{'a snapshot at every step / bare (asked: 1.12)':46} {statistics.median(ratios):9.3f} {min(ratios):9.3f}"
    )


if __name__ == "__main__":
    main()
