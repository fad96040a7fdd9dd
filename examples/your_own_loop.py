"""Record a training loop of your own, then look at what the network learned.

Run it with `python examples/your_own_loop.py [FOLDER]`; it takes a few seconds and needs no download.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

import cnnviz
from cnnviz.data import load


class Net(nn.Module):
    """A small network of your own; cnnviz needs nothing from it but that it is a module."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, kernel_size=5, padding=2)
        self.conv2 = nn.Conv2d(6, 12, kernel_size=5, padding=2)
        self.head = nn.Linear(12 * 7 * 7, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = functional.max_pool2d(self.conv1(images).relu(), 2)
        maps = functional.max_pool2d(self.conv2(maps).relu(), 2)
        return self.head(maps.flatten(1))


def train(folder: Path) -> None:
    """The loop that you have already, and the three lines that record it."""
    torch.manual_seed(0)
    data = load("mnist-mini")
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    order = torch.randperm(len(data.train))
    description = cnnviz.Description(data=data.name, classes=data.classes)
    with cnnviz.Recorder(
        folder, model, snapshots=cnnviz.every(2), samples=data.validation.head(50), description=description
    ) as recorder:
        for step, (images, labels) in enumerate(data.train.batches(order, 64, "cpu")):
            logits = model(images)
            loss = functional.cross_entropy(logits, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            error = (logits.argmax(1) != labels).float().mean()
            recorder.record(step, {"train/loss": loss, "train/error": error})
        recorder.record(step, snapshot=True)  # the end, whatever the schedule says


def main(folder: Path) -> None:
    """Train, then draw the filters and one image's feature maps over the whole training."""
    train(folder)
    run = cnnviz.open_run(folder, model=Net)  # a class of your own is named by you, never by the run
    print(run)
    pictures = folder.parent
    cnnviz.plots.errors(run).save(pictures / "errors.png")
    cnnviz.plots.filters(run, layer="conv1").save(pictures / "filters.gif")
    cnnviz.plots.feature_maps(run, image=run.samples[3], layer="conv2").save(pictures / "feature_maps.html")
    cnnviz.plots.probabilities(run.last, image=3).save(pictures / "answer.png")
    print(f"pictures are in {pictures}; browse the run with: cnnviz dashboard {pictures}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs") / "your-own-loop")
