"""A sample of MNIST that comes with cnnviz, for examples, tests and machines without a network.

Chosen by `benchmarks/make_mnist_mini.py`; its licence and authors are in LICENSE.txt beside it.
"""

from __future__ import annotations

from importlib.resources import as_file, files
from typing import TYPE_CHECKING

from cnnviz.data import dataset
from cnnviz.data.split import Data
from cnnviz.data.torchvision_idx import idx_split

if TYPE_CHECKING:
    from cnnviz.data.request import Request
    from cnnviz.data.tensor_split import TensorSplit

CLASSES = tuple("0123456789")


@dataset("mnist-mini")
def load(request: Request) -> Data:
    """Return 6,000 training digits, 1,000 for validation and 1,000 for the test, each class equally often.

    The validation digits are among MNIST's test images 0-4999, the test digits among 5000-9999.
    """
    request.refuse_argument("mnist-mini")
    return Data("mnist-mini", CLASSES, _split("train"), _split("validation"), _split("test"))


def _split(part: str) -> TensorSplit:
    here = files(__name__)
    images, labels = here / f"{part}-images-idx3-ubyte.gz", here / f"{part}-labels-idx1-ubyte.gz"
    with as_file(images) as image_path, as_file(labels) as label_path:
        return idx_split(image_path, label_path, len(CLASSES), "install cnnviz again")
