"""What each training example did: right or wrong, and its loss, at each of its visits.

The p-th visit of an example belongs to pass p, counted from 0: in plain epochs, pass p is epoch p.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cnnviz.errors import RunError
from cnnviz.recording.example_codes import check_follows, decoded, unpacked

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Examples:
    """What each of n training examples did in each pass; those never visited have -1 and NaN throughout.

    Attributes:
        correct: (passes, n), int8: 1 right, 0 wrong, -1 not visited.
        loss: (passes, n), float32, within 7.2 % from 0.004 to 21; NaN where not visited.
    """

    correct: NDArray[np.int8]
    loss: NDArray[np.float32]

    def __len__(self) -> int:
        return int(self.correct.shape[1])

    def visits(self) -> NDArray[np.int64]:
        """Return how often each example was visited (n,)."""
        return self._sum(lambda correct, _: correct >= 0)

    def learned(self) -> NDArray[np.bool_]:
        """Return whether each example was ever right (n,); what was never learned was never forgotten, either."""
        return self._sum(lambda correct, _: correct == 1) > 0

    def forgetting_events(self) -> NDArray[np.int64]:
        """Return how often each example was right at one visit and wrong at the next (n,).

        0 is unforgettable only where `learned`. Toneva et al., An empirical study of example forgetting during deep
        neural network learning, ICLR 2019.
        """
        events = np.zeros(len(self), np.int64)
        for before, after in zip(self.correct, self.correct[1:], strict=False):
            events += (before == 1) & (after == 0)
        return events

    def confidence(self) -> NDArray[np.float64]:
        """Return the mean over its visits of the probability exp(-loss) that its own class got (n,), in [0, 1].

        It is NaN where never visited, and takes the loss to be the cross-entropy. Swayamdipta et al., Dataset
        cartography: mapping and diagnosing datasets with training dynamics, EMNLP 2020.
        """
        return self._mean(lambda _, loss: np.exp(-loss))

    def variability(self) -> NDArray[np.float64]:
        """Return the standard deviation over its visits of the probability exp(-loss), dividing by their number (n,).

        It is in [0, 0.5], and NaN where never visited. For the paper see `confidence`.
        """
        mean = self.confidence()
        return np.sqrt(self._mean(lambda _, loss: (np.exp(-loss) - mean) ** 2))

    def correctness(self) -> NDArray[np.float64]:
        """Return the fraction of its visits at which each example was right (n,); NaN where never visited."""
        return self._mean(lambda correct, _: correct == 1)

    def _sum(self, of: Callable[[NDArray[np.int8], NDArray[np.float64]], NDArray[Any]]) -> NDArray[Any]:
        # A pass at a time: whole temporary arrays of a million examples and many passes would take gigabytes.
        total = np.zeros(len(self), np.int64)
        for correct, loss in zip(self.correct, self.loss, strict=True):
            total = total + np.where(correct >= 0, of(correct, loss.astype(np.float64)), 0)
        return total

    def _mean(
        self, of: Callable[[NDArray[np.int8], NDArray[np.float64]], NDArray[Any]]
    ) -> NDArray[np.float64]:
        visits = self.visits()
        return np.where(visits > 0, self._sum(of) / np.maximum(visits, 1), np.nan)


def decode_examples(blobs: Sequence[bytes]) -> Examples:
    """Return what `Visits.flush` packed, the blobs in the order of their passes.

    Raises:
        RunError: If they are nothing of the kind.
    """
    n = len(unpacked(blobs[0])) if blobs else 0  # what was ever visited was visited in pass 0
    # A few bytes must not fill the memory, as many short passes beside a long one would.
    if len(blobs) * n > 16 * sum(map(len, blobs)) + 2**20:
        raise RunError("what the training examples did is damaged: its passes are of too different lengths")
    correct = np.full((len(blobs), n), -1, np.int8)
    loss = np.full((len(blobs), n), np.nan, np.float32)
    before = None
    for number, blob in enumerate(blobs):
        codes = unpacked(blob)
        check_follows(codes, before)
        correct[number, : len(codes)], loss[number, : len(codes)] = decoded(codes)
        before = codes
    return Examples(correct, loss)
