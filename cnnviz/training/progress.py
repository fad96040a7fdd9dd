"""What a training tells while it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """Where a training stands.

    Attributes:
        epoch: The epoch that runs, counted from 1.
        epochs: Epochs in all.
        step: Updates so far.
        steps: Updates in all.
        loss: Mean loss of the epoch so far; NaN before its first batch.
        train_error: Error rate of the epoch so far, in [0, 1].
        validation_error: The last validation error rate, in [0, 1]; None before the first.
        images_per_second: Training images a second since the training began or went on, validations included.
        seconds: Seconds since then.
        seconds_left: An estimate of the seconds to the end.
        recorded: Whether a record was just made.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    train_error: float
    validation_error: float | None
    images_per_second: float
    seconds: float
    seconds_left: float
    recorded: bool


ProgressCallback = Callable[[Progress], None]
