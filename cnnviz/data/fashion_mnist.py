"""Fashion-MNIST: pieces of clothing in the format of MNIST (Zalando; MIT)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnviz.data import dataset
from cnnviz.data.torchvision_idx import IdxSet

if TYPE_CHECKING:
    from cnnviz.data.request import Request
    from cnnviz.data.split import Data

CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip


@dataset("fashion-mnist")
def load(request: Request) -> Data:
    """Return 60,000 training images, test images 0-4999 for validation and 5000-9999 for the test.

    Xiao, Rasul, Vollgraf: Fashion-MNIST: a novel image dataset for benchmarking machine learning algorithms
    (2017).
    """
    return IdxSet("fashion-mnist", "FashionMNIST", CLASSES).load(request)
