"""The two loops that `cnnviz train` is compared to: a beginner's DataLoader loop, and a bare one in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from cnnviz.models import build
from cnnviz.training.config import TrainConfig

if TYPE_CHECKING:
    from pathlib import Path

    from cnnviz.data.split import Data

BATCH = 64
EVERY = 100


def new_convnet() -> tuple[nn.Module, torch.optim.Optimizer]:
    """Return the notebook's network and optimizer."""
    torch.manual_seed(0)
    model = build("convnet", channels=1, classes=10, image_size=28)
    config = TrainConfig()
    return model, torch.optim.SGD(model.parameters(), lr=config.lr, momentum=config.momentum)


def notebook_epoch(root: Path) -> None:
    """One epoch as beginners' notebooks write it: torchvision's data set, DataLoaders, clones of the weights.

    Every 100 batches it validates on 5,000 images and keeps error rates and copies of the convolutions.
    """
    from torch.utils.data import DataLoader, Subset
    from torchvision import datasets, transforms

    train = datasets.MNIST(root, train=True, transform=transforms.ToTensor())
    test = datasets.MNIST(root, train=False, transform=transforms.ToTensor())
    train_loader = DataLoader(train, batch_size=BATCH, shuffle=True)
    validation_loader = DataLoader(Subset(test, range(5000)), batch_size=BATCH)
    model, optimizer = new_convnet()
    model.to(memory_format=torch.contiguous_format)  # as a notebook has it
    wrong = seen = 0
    record, weights = [], []
    for number, (images, labels) in enumerate(train_loader, 1):
        model.train()
        logits = model(images)
        loss = functional.cross_entropy(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        wrong += (logits.argmax(1) != labels).sum().item()
        seen += len(labels)
        if number % EVERY == 0 or number == len(train_loader):
            model.eval()
            errors = 0
            with torch.no_grad():
                for x, y in validation_loader:
                    errors += (model(x).argmax(1) != y).sum().item()
            record.append((wrong / seen, errors / 5000))
            weights.append([model.conv1.weight.clone(), model.conv2.weight.clone()])


def bare_epoch(data: Data, validation_batch: int) -> None:
    """One epoch on tensors in memory, with the same steps and validations, that keeps nothing but error rates."""
    model, optimizer = new_convnet()
    images, labels = data.train.images, data.train.labels
    checked, answers = data.validation.images, data.validation.labels
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    wrong = torch.zeros((), dtype=torch.int64)
    seen = 0
    record = []
    batches = order.split(BATCH)
    for number, batch in enumerate(batches, 1):
        x, y = images[batch].float().div_(255), labels[batch]
        optimizer.zero_grad()
        logits = model(x)
        loss = functional.cross_entropy(logits, y)
        loss.backward()
        optimizer.step()
        wrong += (logits.argmax(1) != y).sum()
        seen += len(y)
        if number % EVERY == 0 or number == len(batches):
            model.eval()
            errors = torch.zeros((), dtype=torch.int64)
            with torch.inference_mode():
                for start in range(0, len(answers), validation_batch):
                    part = slice(start, start + validation_batch)
                    errors += (model(checked[part].float().div_(255)).argmax(1) != answers[part]).sum()
            model.train()
            record.append((wrong.item() / seen, errors.item() / len(answers)))
