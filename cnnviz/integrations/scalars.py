"""Which of the values that a framework hands around are metrics, and which of those are new."""

from __future__ import annotations

from numbers import Real
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor


def scalars(values: Mapping[str, Any]) -> dict[str, float | Tensor]:
    """Return the real numbers and one-element tensors among `values`, the tensors as they are, on their device."""
    return {name: value for name, value in values.items() if isinstance(name, str) and _is_scalar(value)}


class Newest:
    """Lets a metric through once for each time that it was computed.

    Frameworks keep the last value of each metric, so that most of what they show at a step is older than the step.
    """

    def __init__(self) -> None:
        self._seen: dict[str, Any] = {}

    def of(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return those of `values` that are other objects than at the last look, whatever their numbers."""
        new = {
            name: value
            for name, value in values.items()
            if name not in self._seen or not _same(value, self._seen[name])
        }
        # What was seen is kept alive, so that nothing new can take its place in memory and be taken for it.
        self._seen.update(new)
        return new


def _is_scalar(value: object) -> bool:
    if isinstance(value, torch.Tensor):
        # Asks only what is known without waiting for the device.
        return value.numel() == 1 and not value.is_complex() and not value.is_meta
    return isinstance(value, Real)


def _same(one: object, other: object) -> bool:
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return one.data_ptr() == other.data_ptr()  # a detached tensor is a new object over the same memory
    return one is other
