"""CIFAR-10: small colour photographs, 32 x 32 pixels (A. Krizhevsky)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from cnnviz.data import dataset
from cnnviz.data.download import download
from cnnviz.data.split import Data
from cnnviz.data.tensor_split import TensorSplit
from cnnviz.errors import DataError

if TYPE_CHECKING:
    from cnnviz.data.request import Request

_FOLDER = "cifar-10-batches-py"
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@dataset("cifar10")
def load(request: Request) -> Data:
    """Return 50,000 training images, test images 0-4999 for validation and 5000-9999 for the test.

    Krizhevsky: Learning multiple layers of features from tiny images (2009).
    """
    request.refuse_argument("cifar10")
    if not (request.root / _FOLDER).exists():
        download("CIFAR10", "cifar10", request, _FOLDER)
    test = _split(request, train=False)
    return Data(
        "cifar10", CLASSES, _split(request, train=True), test.half(second=False), test.half(second=True)
    )


def _split(request: Request, *, train: bool) -> TensorSplit:
    from torchvision.datasets import CIFAR10  # here, because it takes 2 s to import

    try:
        # It checks the files' digests before it unpickles them.
        images = CIFAR10(request.root, train=train, download=False)
    except (RuntimeError, OSError) as error:
        folder = request.root / _FOLDER
        raise DataError(f"{folder} is damaged; delete it, so that it is downloaded again") from error
    pixels = torch.from_numpy(images.data).permute(0, 3, 1, 2).contiguous()
    return TensorSplit(pixels, torch.tensor(images.targets, dtype=torch.int64))
