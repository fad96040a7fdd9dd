"""How it is stored what each training example did at each of its visits: right or wrong, and its loss.

The p-th visit of an example belongs to pass p, counted from 0: in plain epochs, pass p is epoch p. A pass is stored
with 7 bits an example: 0 is not visited, 1 to 63 right, 64 to 127 wrong, each with a level of the loss. Level k stands
for 2^(k / 5 - 8), so that losses from 0.004 to 21 are known within 7.2 % (up to 24 where wrong); those beyond become
the lowest or highest level, and what is no number the highest. Eight codes make 7 bytes, the first in the lowest bits;
examples behind the end of a pass were not visited in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cnnviz.errors import RunError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Codes = NDArray[np.uint8]

_LEVELS = 2.0 ** (np.arange(64) / 5 - 8)
_CORRECT_OF = np.array([-1] + [1] * 63 + [0] * 64, dtype=np.int8)
_LOSS_OF = np.array([np.nan, *_LEVELS[:63], *_LEVELS], dtype=np.float32)


def coded(correct: NDArray[np.bool_], loss: NDArray[np.float32]) -> Codes:
    """Return the codes (n,) of visits, right or wrong, and their losses."""
    with np.errstate(divide="ignore"):
        level = np.rint(np.log2(np.maximum(loss, 0)) * 5 + 40)
    level = np.maximum(np.fmin(level, np.where(correct, 62, 63)), 0)  # fmin takes the number beside a NaN
    codes: Codes = (level + np.where(correct, 1, 64)).astype(np.uint8)
    return codes


def packed(codes: Codes) -> bytes:
    """Return the codes of a pass as it is stored."""
    eights = np.zeros(-(-len(codes) // 8), "<u8")
    eights.view(np.uint8)[: len(codes)] = codes
    # Neighbours move together: eight times 7 bits in 8, four times 14 in 16, two times 28 in 32, and 56 bits.
    for bits, low in ((1, 0x007F007F007F007F), (2, 0x00003FFF00003FFF), (4, 0x000000000FFFFFFF)):
        eights = (eights & low) | ((eights >> bits) & (low << (7 * bits)))
    return eights.view(np.uint8).reshape(-1, 8)[:, :7].tobytes()[: -(-7 * len(codes) // 8)]


def unpacked(blob: bytes) -> Codes:
    """Return the codes in `blob` up to the last example that was visited.

    Raises:
        RunError: If it holds none, or something behind them.
    """
    try:
        given = np.frombuffer(blob, np.uint8)
    except (TypeError, ValueError) as error:
        raise RunError("what the training examples did is damaged: a pass is not made of bytes") from error
    whole, rest = divmod(len(given), 7)
    sevens = np.zeros((whole + 1, 7), np.uint8)
    sevens.reshape(-1)[: len(given)] = given
    words = np.zeros((whole + 1, 8), np.uint8)
    words[:, :7] = sevens
    eights = words.reshape(-1).view("<u8")
    for bits, low in ((4, 0x000000000FFFFFFF), (2, 0x00003FFF00003FFF), (1, 0x007F007F007F007F)):
        eights = (eights & low) | ((eights & (low << (7 * bits))) << bits)
    codes = eights.view(np.uint8)
    visited = np.flatnonzero(codes)
    if not len(visited) or visited[-1] >= 8 * whole + rest:
        raise RunError("what the training examples did is damaged: a pass holds no visits, or more than fit")
    return codes[: visited[-1] + 1]


def check_follows(codes: Codes, before: Codes | None) -> None:
    """Raise RunError unless whatever was visited in a pass was visited in the one before."""
    if before is not None and (len(codes) > len(before) or not before[: len(codes)][codes > 0].all()):
        raise RunError("what the training examples did is damaged: an example's visits have a gap")


def decoded(codes: Codes) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Return what codes (n,) stand for: 1 right, 0 wrong, -1 not visited; and the loss, NaN where not visited."""
    return _CORRECT_OF[codes], _LOSS_OF[codes]
