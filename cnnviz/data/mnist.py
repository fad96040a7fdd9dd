"""MNIST: handwritten digits, 28 x 28 pixels (Y. LeCun, C. Cortes; CC BY-SA 3.0)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnviz.data import dataset
from cnnviz.data.torchvision_idx import IdxSet

if TYPE_CHECKING:
    from cnnviz.data.request import Request
    from cnnviz.data.split import Data

CLASSES = tuple("0123456789")


@dataset("mnist")
def load(request: Request) -> Data:
    """Return 60,000 training digits, test digits 0-4999 for validation and 5000-9999 for the test.

    LeCun, Bottou, Bengio, Haffner: Gradient-based learning applied to document recognition (1998).
    """
    return IdxSet("mnist", "MNIST", CLASSES).load(request)
