"""Record a Lightning training with one callback, then look at what the network learned.

Run it with `python examples/lightning_callback.py [FOLDER]`; it takes a few seconds and needs no download.
It needs Lightning: pip install 'cnnviz[lightning]'
"""

from __future__ import annotations

import sys
from pathlib import Path

import lightning.pytorch as pl
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

import cnnviz
from cnnviz.data import load
from cnnviz.integrations.lightning import RecorderCallback


class Net(nn.Module):
    """A small network of your own."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, kernel_size=5, padding=2)
        self.conv2 = nn.Conv2d(6, 12, kernel_size=5, padding=2)
        self.head = nn.Linear(12 * 7 * 7, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = functional.max_pool2d(self.conv1(images).relu(), 2)
        maps = functional.max_pool2d(self.conv2(maps).relu(), 2)
        return self.head(maps.flatten(1))


class LitNet(pl.LightningModule):
    """How it is trained; what it logs is what is recorded, under the same names."""

    def __init__(self) -> None:
        super().__init__()
        self.model = Net()

    def training_step(self, batch: list[torch.Tensor], _: int) -> torch.Tensor:
        return self.step("train", batch)

    def validation_step(self, batch: list[torch.Tensor], _: int) -> None:
        self.step("validation", batch)

    def step(self, name: str, batch: list[torch.Tensor]) -> torch.Tensor:
        images, labels = batch
        logits = self.model(images)
        loss = functional.cross_entropy(logits, labels)
        error = (logits.argmax(1) != labels).float().mean()
        self.log_dict({f"{name}/loss": loss, f"{name}/error": error})
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.05, momentum=0.9)


def loader(split: cnnviz.data.split.Split, *, shuffle: bool) -> DataLoader:
    """Make Lightning's kind of data of the embedded digits."""
    images, labels = next(iter(split.batches(None, len(split), "cpu")))
    return DataLoader(TensorDataset(images, labels), batch_size=64, shuffle=shuffle)


def main(folder: Path) -> None:
    """Train with the callback, then draw the error rates and the first filters over the whole training."""
    torch.manual_seed(0)
    data = load("mnist-mini")
    callback = RecorderCallback(
        folder,
        module="model",  # the network inside of the LightningModule
        snapshots=cnnviz.every(10),
        samples=data.validation.head(50),
        description=cnnviz.Description(data=data.name, classes=data.classes),
    )
    trainer = pl.Trainer(
        max_epochs=1, accelerator="cpu", callbacks=[callback],
        logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(LitNet(), loader(data.train, shuffle=True), loader(data.validation, shuffle=False))

    run = cnnviz.open_run(folder, model=Net)
    print(run)
    pictures = folder.parent
    cnnviz.plots.errors(run).save(pictures / "errors.png")
    cnnviz.plots.filters(run, layer="conv1").save(pictures / "filters.gif")
    print(f"pictures are in {pictures}; browse the run with: cnnviz dashboard {pictures}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs") / "lightning")
