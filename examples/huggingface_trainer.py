"""Record a Hugging Face Trainer with one callback, then look at what the network learned.

Run it with `python examples/huggingface_trainer.py [FOLDER]`; it takes a few seconds and needs no download.
It needs transformers: pip install 'cnnviz[transformers]'
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import Dataset
from transformers import EvalPrediction, Trainer, TrainingArguments

import cnnviz
from cnnviz.data import load
from cnnviz.integrations.transformers import RecorderCallback


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


class Classifier(nn.Module):
    """The network as the Trainer wants it: it takes names and returns its loss, too."""

    def __init__(self) -> None:
        super().__init__()
        self.net = Net()

    def forward(self, pixel_values: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        logits = self.net(pixel_values)
        return {"loss": functional.cross_entropy(logits, labels), "logits": logits}


class Digits(Dataset):
    """The embedded digits as the Trainer wants them: a dictionary each."""

    def __init__(self, split: cnnviz.data.split.Split) -> None:
        self.images, self.labels = next(iter(split.batches(None, len(split), "cpu")))

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {"pixel_values": self.images[index], "labels": self.labels[index]}


def error_rate(prediction: EvalPrediction) -> dict[str, float]:
    """Return what the Trainer logs as "eval_error" beside "eval_loss"."""
    return {"error": float(np.mean(prediction.predictions.argmax(1) != prediction.label_ids))}


def main(folder: Path) -> None:
    """Train with the callback, then draw the first filters over the whole training."""
    torch.manual_seed(0)
    data = load("mnist-mini")
    arguments = TrainingArguments(
        output_dir=str(folder.parent / "trainer"), num_train_epochs=1, per_device_train_batch_size=64,
        learning_rate=0.003, logging_steps=5, eval_strategy="steps", eval_steps=30,
        save_strategy="no", report_to="none", use_cpu=True, disable_tqdm=True, dataloader_pin_memory=False,
    )  # fmt: skip
    callback = RecorderCallback(
        folder,
        module="net",  # the network inside of what the Trainer trains
        snapshots=cnnviz.every(10),
        samples=data.validation.head(50),
        description=cnnviz.Description(data=data.name, classes=data.classes),
    )
    with callback:  # so that a training that fails is recorded as failed
        Trainer(
            Classifier(),
            arguments,
            train_dataset=Digits(data.train),
            eval_dataset=Digits(data.validation),
            compute_metrics=error_rate,
            callbacks=[callback],
        ).train()

    run = cnnviz.open_run(folder, model=Net)
    print(run)
    steps, errors = run.metric("eval_error")
    print(
        "validation error:",
        ", ".join(f"{error:.3f} at step {step}" for step, error in zip(steps, errors, strict=True)),
    )
    pictures = folder.parent
    cnnviz.plots.filters(run, layer="conv1").save(pictures / "filters.gif")
    print(f"pictures are in {pictures}; browse the run with: cnnviz dashboard {pictures}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs") / "huggingface")
