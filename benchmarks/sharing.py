"""What a fine-tuning of the last layer of ResNet-18 takes on the disk, with 100 snapshots.

Asked: under 1.2 times one snapshot and the parts that change. Batch norm either goes on counting, or is frozen, too.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import torch
from torch.nn import functional

import cnnviz
from cnnviz.models import build

SNAPSHOTS = 100


def disk_bytes(path: Path) -> int:
    """Return what the folder takes on the disk, in blocks, as du counts it."""
    return sum(file.lstat().st_blocks * 512 for file in [path, *path.rglob("*")])


def fine_tune(path: Path, *, counting: bool) -> tuple[int, int, float]:
    """Train the last layer for some steps.

    Returns:
        The bytes of one whole state, those of the tensors that changed, and the seconds in `record`.
    """
    torch.manual_seed(0)
    model = build("resnet18", channels=3, classes=10, image_size=64)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith("fc"))
    model.train(counting)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.01, momentum=0.9)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    seconds = 0.0
    with cnnviz.Recorder(path, model, snapshots=cnnviz.every(1)) as recorder:
        for step in range(SNAPSHOTS):
            images, labels = torch.rand(4, 3, 64, 64), torch.randint(0, 10, (4,))
            loss = functional.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            started = time.perf_counter()
            recorder.record(step, {"train/loss": loss})
            seconds += time.perf_counter() - started
    after = model.state_dict()
    changed = [tensor for name, tensor in after.items() if not torch.equal(tensor, before[name])]
    return sum(t.nbytes for t in after.values()), sum(t.nbytes for t in changed), seconds


def main() -> None:
    print(
        f"{'batch norm':14}{'a state':>12}{'changing':>12}{'the run':>12}{'ratio':>8}{'unshared':>10}{'record':>12}"
    )
    for counting in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "run"
            whole, changing, seconds = fine_tune(path, counting=counting)
            taken = disk_bytes(path)
            least = whole + SNAPSHOTS * changing
            print(
                f"{'counting on' if counting else 'frozen':14}{whole / 1e6:9.1f} MB{changing / 1e6:9.2f} MB"
                f"{taken / 1e6:9.1f} MB{taken / least:8.3f}{SNAPSHOTS * whole / taken:9.0f}x"
                f"{seconds / SNAPSHOTS * 1e3:9.1f} ms"
            )


if __name__ == "__main__":
    main()
