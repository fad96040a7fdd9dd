"""Runs to look at: a real one of 40 snapshots, and odd ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn
from torch.nn import functional

import cnnviz
from cnnviz.data import load
from cnnviz.models import build
from cnnviz.recording.schedule import never
from cnnviz_dashboards import create_app
from cnnviz_dashboards.folder import RunFolder

if TYPE_CHECKING:
    from pathlib import Path

    from flask.testing import FlaskClient

SNAPSHOTS = 40


class TheirNet(nn.Module):
    """A network that no registry knows."""

    def __init__(self) -> None:
        super().__init__()
        self.edges = nn.Conv2d(1, 3, 3)
        self.head = nn.Linear(3 * 26 * 26, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.relu(self.edges(x)).flatten(1))


def record_training(path: Path) -> cnnviz.Run:
    """Train the convnet on mnist-mini with a snapshot at every second step."""
    torch.manual_seed(0)
    data = load("mnist-mini")
    arguments = {"channels": 1, "classes": 10, "image_size": 28}
    model = build("convnet", **arguments)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    described = cnnviz.Description(
        model="convnet", arguments=arguments, data="mnist-mini", classes=data.classes
    )
    batches = data.train.batches(torch.randperm(len(data.train)), 64, "cpu")
    with cnnviz.Recorder(
        path, model, snapshots=cnnviz.every(2), samples=data.validation.head(20), description=described
    ) as recorder:
        for step, (images, labels) in zip(range(2 * SNAPSHOTS - 1), batches, strict=False):
            optimizer.zero_grad()
            logits = model(images)
            loss = functional.cross_entropy(logits, labels)
            loss.backward()
            optimizer.step()
            wrong = (logits.argmax(1) != labels).float().mean()
            recorder.record(step, {"train/loss": loss, "train/error": wrong, "validation/error": wrong / 2})
    return cnnviz.open_run(path)


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a real run ("first"), and ones that lack something."""
    folder = tmp_path_factory.mktemp("dashboards") / "runs"
    record_training(folder / "first")
    theirs = TheirNet()
    with cnnviz.Recorder(
        folder / "theirs",
        theirs,
        snapshots=cnnviz.every(1),
        samples=(torch.rand(4, 1, 28, 28), torch.arange(4)),
    ) as recorder:
        for step in range(3):
            recorder.record(step, {"train/error": 0.5})
    known = build("convnet", channels=1, classes=10, image_size=28)
    with cnnviz.Recorder(folder / "no-samples", known, snapshots=cnnviz.every(1)) as recorder:
        recorder.record(5)
    with cnnviz.Recorder(
        folder / "no-snapshots", known, snapshots=never, samples=(torch.rand(2, 1, 28, 28), torch.arange(2))
    ) as recorder:
        recorder.record(5, {"train/error": 0.5})
    return folder


@pytest.fixture
def runs(root: Path) -> RunFolder:
    return RunFolder(root)


@pytest.fixture
def first(runs: RunFolder) -> cnnviz.Run:
    return runs.open("first")


@pytest.fixture(scope="session")
def client(root: Path) -> FlaskClient:
    """Asks the routes as a browser does; an exception that nobody handles gives the page that a browser gets."""
    server = create_app(root).server
    server.testing = False
    return server.test_client()
