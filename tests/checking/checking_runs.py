"""Small runs with all that a run can hold."""

import numpy as np
import torch

from cnnviz.recording.manifest import Description, Layer, Manifest
from cnnviz.recording.visits import Visits
from cnnviz.recording.writer import Record, RunWriter

MANIFEST = Manifest(
    id="abc",
    created="2024-05-06T07:08:09+00:00",
    class_name="Net",
    parameters=7,
    layers=(Layer("body", "Conv2d"), Layer("head", "Linear")),
    shapes={"body": (3, 4)},
    software={"cnnviz": "0.1"},
    description=Description(
        model="convnet", arguments={"model": 3}, classes=("cat", "dog"), config={"lr": 0.5}
    ),
)


def state_at(step):
    """The body is frozen, and large enough to be shared."""
    return {
        "body.weight": torch.arange(1200.0).reshape(4, 3, 10, 10),
        "head.weight": torch.full((5, 40), float(step)),
        "head.bias": torch.full((5,), -float(step), dtype=torch.float16),
    }


def passes(count):
    """Return what `count` passes over the same 50 examples look like in the database."""
    visits = Visits()
    for number in range(count):
        visits.add(number, np.arange(50), np.arange(50) % (number + 2) == 0, np.linspace(0.1, 2, 50))
    return visits.flush()


def write(path, steps, *, resume=False, codes=None, close=True):
    writer = RunWriter(path, resume=resume)
    if not resume:
        images = torch.arange(2 * 3 * 4 * 4, dtype=torch.uint8).reshape(2, 3, 4, 4)
        writer.describe(MANIFEST, (images, torch.tensor([0, 1])))
    for step in steps:
        examples, last = (codes or {}, step) if step == steps[-1] else ({}, -1)
        metrics = {"train/loss": 1.0 / (step + 1), "train/error": float("nan")}
        writer.put(Record(step, metrics, state_at(step), examples, last))
    if close:
        writer.close()
    return writer
