"""Loss and errors of an epoch so far, counted without waiting for the device."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

# How many losses may wait on an accelerator before one look tells whether they are finite.
_LOOK_EVERY = 20


class Diverged(Exception):  # noqa: N818 - an outcome that the loop handles, not an error of the program
    """The loss of an update was not finite."""

    def __init__(self, step: int, loss: float) -> None:
        super().__init__(f"the loss of update {step} is {loss}")
        self.step = step


class Tally:
    """Counts loss and wrong answers of one epoch, and watches for losses that are not finite."""

    def __init__(self, device: torch.device) -> None:
        self._wrong = torch.zeros((), dtype=torch.int64, device=device)
        self._patience = 1 if device.type == "cpu" else _LOOK_EVERY
        self._pending: list[Tensor] = []
        self._first_pending = 0
        self._loss = 0.0
        self._seen_losses = 0
        self.images = 0

    def add(self, step: int, loss: Tensor, right: Tensor) -> None:
        """Count a batch: its mean loss, and whether each answer was right, bool (b,).

        Raises:
            Diverged: If this loss, or on an accelerator one of the last few, is not finite.
        """
        self._wrong += len(right) - right.sum()
        self.images += len(right)
        if not self._pending:
            self._first_pending = step
        self._pending.append(loss)
        if len(self._pending) >= self._patience:
            self._look()

    def means(self) -> tuple[float, float]:
        """Return the mean loss and the error rate of the epoch so far; NaN before its first batch."""
        self._look()
        if not self.images:
            return math.nan, math.nan
        return self._loss / self._seen_losses, self._wrong.item() / self.images

    def to_json(self) -> dict[str, float]:
        """Return the counts, exactly."""
        self._look()
        return {
            "wrong": self._wrong.item(),
            "loss": self._loss,
            "losses": self._seen_losses,
            "images": self.images,
        }

    def restore(self, counts: dict[str, float]) -> None:
        """Put back what `to_json` gave."""
        self._wrong.fill_(int(counts["wrong"]))
        self._loss, self._seen_losses = counts["loss"], int(counts["losses"])
        self.images = int(counts["images"])

    def _look(self) -> None:
        losses = self._pending
        self._pending = []
        values = [losses[0].item()] if len(losses) == 1 else torch.stack(losses).tolist() if losses else []
        for offset, value in enumerate(values):
            if not math.isfinite(value):
                raise Diverged(self._first_pending + offset, value)
        self._loss += sum(values)
        self._seen_losses += len(values)
