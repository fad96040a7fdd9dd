"""A run of many snapshots of the convnet, for the other benchmarks: every step of a short real training."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import torch
from torch.nn import functional

import cnnviz
from cnnviz.data import load
from cnnviz.models import build


def record_every_step(path: Path, snapshots: int = 1000, lr: float = 0.02) -> cnnviz.Run:
    """Train the convnet on mnist-mini with a snapshot at every step, and return the run."""
    shutil.rmtree(path, ignore_errors=True)
    torch.manual_seed(0)
    data = load("mnist-mini")
    model = build("convnet", channels=1, classes=10, image_size=28)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    step = wrong = seen = 0
    description = cnnviz.Description(
        model="convnet",
        arguments={"channels": 1, "classes": 10, "image_size": 28},
        data="mnist-mini",
        classes=data.classes,
    )
    with cnnviz.Recorder(
        path, model, snapshots=cnnviz.every(1), samples=data.validation.head(100), description=description
    ) as recorder:
        recorder.record(0)
        while True:
            for images, labels in data.train.batches(torch.randperm(len(data.train)), 64, "cpu"):
                optimizer.zero_grad()
                logits = model(images)
                loss = functional.cross_entropy(logits, labels)
                loss.backward()
                optimizer.step()
                step += 1
                wrong += int((logits.argmax(1) != labels).sum())
                seen += len(labels)
                metrics = {"train/loss": loss, "train/error": wrong / seen}
                if step % 20 == 0:
                    metrics["validation/error"] = _error(model, data.validation)
                    wrong = seen = 0
                recorder.record(step, metrics)
                if step == snapshots - 1:
                    return cnnviz.open_run(path)


def _error(model: torch.nn.Module, split: object) -> float:
    model.eval()
    with torch.no_grad():
        wrong = sum(int((model(x).argmax(1) != y).sum()) for x, y in split.batches(None, 250, "cpu"))
    model.train()
    return wrong / len(split)


if __name__ == "__main__":
    print(record_every_step(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("runs/thousand")))
