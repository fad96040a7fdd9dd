"""Numbers of any type as those that can be drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def drawable(values: Tensor) -> Tensor:
    """Return `values` as float32; of complex ones their modulus."""
    return (values.abs() if values.is_complex() else values).float()
