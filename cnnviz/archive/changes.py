"""Bit patterns over time as what a prediction from the two steps before leaves over: small numbers, and no bit lost.

With x(t) the bit pattern of a weight as an integer and d(t) = x(t) - x(t-1) its change, an optimizer with momentum μ
makes d(t) about μ d(t-1). Written is x(0), and then d(t) - (d(t-1) - d(t-1) // k), d(0) being 0: k = 10 stands for
μ = 0.9, k = 1 for none, and k = 0 for d(t) - d(t-1). All of it in integers that wrap around, so that every bit
pattern comes back, whatever it means. Signs go to the lowest bit, as small numbers shall have zeros above.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

DIVISORS = (0, 1, 2, 5, 10, 20, 100)
"""What k may be."""


def encode_changes(bits: NDArray[Any], period: int, divisor: int) -> NDArray[Any]:
    """Return what the prediction leaves over.

    Args:
        bits: Unsigned integers (n, T), time last.
        period: How many steps to predict from one whole value; T is a multiple of it.
        divisor: The k above.

    Returns:
        (n, T), of the same type.
    """
    values = _time_first(bits, period)
    changes = np.diff(values, axis=0)
    rest = changes.copy()
    if len(changes) and divisor != 1:
        rest[1:] -= _expected(changes[:-1], divisor)
    rest = (rest << 1) ^ (rest >> (8 * rest.itemsize - 1))
    written = np.concatenate([values[:1], rest]).view(bits.dtype)
    return np.ascontiguousarray(written.transpose(2, 1, 0)).reshape(bits.shape)


def decode_changes(rest: NDArray[Any], period: int, divisor: int) -> NDArray[Any]:
    """Return the bit patterns (T, n), time first, from what `encode_changes` gave, (n, T)."""
    values = _time_first(rest, period)
    change = np.zeros_like(values[0])
    for now, before in zip(values[1:], values, strict=False):
        sign = -(now & 1)
        left = (now.view(rest.dtype) >> rest.dtype.type(1)).view(now.dtype) ^ sign
        change = left if divisor == 1 else _expected(change, divisor) + left
        np.add(before, change, out=now)
    count, steps = rest.shape
    return values.view(rest.dtype).transpose(1, 0, 2).reshape(steps, count)


def _expected(change: NDArray[Any], divisor: int) -> NDArray[Any]:
    return change - change // divisor if divisor else change


def _time_first(bits: NDArray[Any], period: int) -> NDArray[Any]:
    """Return a copy (period, T / period, n), signed: a step of all periods lies together."""
    count, steps = bits.shape
    signed = np.dtype(f"i{bits.itemsize}")
    parts = bits.reshape(count, steps // period, period).transpose(2, 1, 0)
    return np.array(parts, order="C").view(signed)
