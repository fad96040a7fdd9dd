"""MNIST and its relatives as torchvision lays them out: four IDX files in one folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from cnnviz.data.download import download
from cnnviz.data.idx import read_idx
from cnnviz.data.split import Data
from cnnviz.data.tensor_split import TensorSplit
from cnnviz.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    from cnnviz.data.request import Request

_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


@dataclass(frozen=True)
class IdxSet:
    """A data set that torchvision keeps as four IDX files.

    Attributes:
        name: Its name here.
        folder: The name of torchvision's class, which is also that of its folder under the root.
        classes: The name of each class, in the order of the labels.
    """

    name: str
    folder: str
    classes: tuple[str, ...]

    def load(self, request: Request) -> Data:
        """Return the data: validation is the first half of the test images, test the second.

        Args:
            request: Where the files are, and whether a download shows a progress bar.

        Returns:
            The data; for MNIST 60,000, 5,000 and 5,000 images.

        Raises:
            DataError: If a file is damaged, does not fit the others, or is absent and can't be downloaded.
        """
        request.refuse_argument(self.name)
        raw = request.root / self.folder / "raw"
        if None in self._found(raw):
            download(self.folder, self.name, request, f"{self.folder}/raw")
        paths = [path or raw / file for path, file in zip(self._found(raw), _FILES, strict=True)]
        train = self._split(paths[0], paths[1])
        test = self._split(paths[2], paths[3])
        return Data(self.name, self.classes, train, test.half(second=False), test.half(second=True))

    @staticmethod
    def _found(raw: Path) -> list[Path | None]:
        """Return the path of each file, plain or gzipped, None for one that is absent."""
        both = [(raw / file, raw / f"{file}.gz") for file in _FILES]
        return [next((path for path in paths if path.exists()), None) for paths in both]

    def _split(self, images: Path, labels: Path) -> TensorSplit:
        return idx_split(images, labels, len(self.classes))


def idx_split(
    images: Path, labels: Path, classes: int, way_out: str = "delete it, so that it is downloaded again"
) -> TensorSplit:
    """Return the images and labels of two IDX files.

    Args:
        images: The file of images, n x h x w bytes.
        labels: The file of their labels, n bytes.
        classes: The number of classes, which every label must be below.
        way_out: What the user can do if a file is damaged; ends the error's message.

    Returns:
        The split, images of shape (n, 1, h, w).

    Raises:
        DataError: If a file is damaged or absent, or the two don't fit each other.
    """
    pixels = read_idx(images, dimensions=3, way_out=way_out)
    indices = read_idx(labels, dimensions=1, way_out=way_out)
    if len(pixels) != len(indices):
        raise DataError(f"{images} holds {len(pixels)} images but {labels} {len(indices)} labels; {way_out}")
    if int(indices.max()) >= classes:
        raise DataError(f"{labels} holds the label {int(indices.max())}, above {classes - 1}; {way_out}")
    return TensorSplit(pixels.unsqueeze(1), indices.to(torch.int64))
