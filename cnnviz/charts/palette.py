"""One palette for all frames of a GIF: the commonest colours exactly, and none of the others far off.

Pillow's own look-up in a palette turns white into nearly white, and a palette a frame makes films flicker.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

_SIZE = 255
UNCHANGED = 255  # the position that shows what the frame before shows
_EXACT = 176  # colours that are kept exactly
_BINS = 1 << 15  # five bits a channel


@dataclass(frozen=True, eq=False)
class Palette:
    """The colours of a GIF, and how any colour becomes one of them.

    Attributes:
        colours: The colours (255, 3); one more place of the GIF's 256 is for pixels that stay as they are.
        nearest: For each bin of colours (32768,), the colour that stands for it.
    """

    colours: NDArray[np.uint8]
    nearest: NDArray[np.uint8]

    @classmethod
    def of(cls, frames: Iterable[NDArray[np.uint8]]) -> Self:
        """Return the palette of a film, judged by a few frames (h, w, 4)."""
        found, counts = np.unique(np.concatenate([_packed(frame) for frame in frames]), return_counts=True)
        found = found[np.argsort(-counts, kind="stable")]
        # Of each bin the commonest colour alone: the others will look like it.
        found = found[np.sort(np.unique(_bins(found), return_index=True)[1])]
        candidates = np.stack([found & 255, found >> 8 & 255, found >> 16 & 255], axis=1).astype(np.float32)
        chosen = _spread(candidates, _EXACT, _SIZE)
        nearest = _nearest(_centres(), chosen)
        nearest[_bins(found)] = _nearest(candidates, chosen)
        colours = np.zeros((_SIZE, 3), np.uint8)
        colours[: len(chosen)] = chosen
        return cls(colours, nearest)

    def apply(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return, for a frame (h, w, 4), the positions (h, w) of its colours in the palette."""
        return self.nearest[_bins(_packed(frame))].reshape(frame.shape[:2])


def _packed(frame: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Return pixels (h, w, 4) as one number each (h * w,): red in the lowest byte, whatever the machine."""
    return frame.view("<u4").ravel()


def _bins(packed: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Return the bins of packed colours: the five highest bits of red, green and blue."""
    return (packed >> 3 & 0x1F | packed >> 6 & 0x3E0 | packed >> 9 & 0x7C00).astype(np.uint32, copy=False)


def _centres() -> NDArray[np.float32]:
    """Return the colour (32768, 3) in the middle of each bin."""
    number = np.arange(_BINS)
    return (np.stack([number & 31, number >> 5 & 31, number >> 10], axis=1) * 8 + 4).astype(np.float32)


def _spread(colours: NDArray[np.float32], first: int, count: int) -> NDArray[np.float32]:
    """Return the first colours, and then ever the one that is farthest from all chosen, until there are `count`."""
    chosen = list(range(min(first, len(colours))))
    distance = _squared(colours, colours[chosen]).min(axis=1)
    while len(chosen) < count and distance.max() > 0:
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, _squared(colours, colours[chosen[-1:]])[:, 0])
    return colours[chosen]


def _nearest(colours: NDArray[np.float32], chosen: NDArray[np.float32]) -> NDArray[np.uint8]:
    found: NDArray[np.intp] = _squared(colours, chosen).argmin(axis=1)
    return found.astype(np.uint8)


def _squared(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the squared distance (n, m) of each of the colours `a` (n, 3) to each of `b` (m, 3)."""
    # Whole numbers below 2**24, so float32 is exact.
    squared: NDArray[np.float32] = (a**2).sum(1)[:, None] - 2 * (a @ b.T) + (b**2).sum(1)
    return squared
