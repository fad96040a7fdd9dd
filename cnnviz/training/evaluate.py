"""Loss and error rate of a network on a split of the data."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from torch import nn

    from cnnviz.data.split import Split

# Where small images run fastest on the CPU: twice the time at 1,000 a batch, as the maps outgrow the caches.
_LARGEST_BATCH = 250
_PIXELS = 2**18


class Score(NamedTuple):
    """Mean cross-entropy, and error rate in [0, 1]."""

    loss: float
    error: float


def evaluate(model: nn.Module, split: Split, *, batch_size: int, device: torch.device) -> Score:
    """Return how `model` does on `split`, in eval mode; the mode of each module is put back afterwards.

    Args:
        model: The network, on `device`.
        split: The images and labels.
        batch_size: A size that is known to fit; small images go in larger batches.
        device: Where to compute.
    """
    channels, height, width = split.shape
    size = max(batch_size, min(_LARGEST_BATCH, _PIXELS // (channels * height * width)))
    wrong, loss = (
        torch.zeros((), dtype=torch.float64 if device.type != "mps" else torch.float32) for _ in range(2)
    )
    wrong, loss = wrong.to(device), loss.to(device)
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.inference_mode():
            for images, labels in split.batches(None, size, device):
                logits = model(images)
                wrong += (logits.argmax(1) != labels).sum()
                loss += functional.cross_entropy(logits, labels, reduction="sum")
    finally:
        for module, training in modes.items():
            module.training = training
    return Score(loss.item() / len(split), wrong.item() / len(split))
