"""A data set in its splits, and what every split can do, wherever its images lie."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from cnnviz.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import torch
    from torch import Tensor

    from cnnviz.types import ByteImages, Images, Labels


class Split(Protocol):
    """Labelled images that can be batched in any order."""

    def __len__(self) -> int: ...

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape of one image: channels, height, width."""
        ...

    def batches(
        self,
        order: Tensor | None,
        batch_size: int,
        device: torch.device | str,
        *,
        skip: int = 0,
        seed: int = 0,
    ) -> Iterator[tuple[Images, Labels]]:
        """Yield the images and labels, batch by batch; the last batch may be smaller.

        Args:
            order: Indices of the images in the order wanted; None for all of them in their own order.
            batch_size: Images a batch, at least 1.
            device: Where the batches are wanted.
            skip: How many batches to leave out at the beginning; those after them are what they would have been.
            seed: Seeds the random transforms of a split that has any.

        Yields:
            Images of shape (b, c, h, w), float32 in [0, 1], and their labels of shape (b,), int64.
        """
        ...

    def head(self, count: int) -> tuple[ByteImages, Labels]:
        """Return the first `count` images, as uint8 of shape (n, c, h, w), and their labels, on the CPU."""
        ...

    def to(self, device: torch.device | str) -> Split:
        """Return the split held on `device`, or itself if it is not held in memory."""
        ...

    def resized(self, image_size: int) -> Split:
        """Return the split with square images of `image_size` pixels a side; itself if they are so already."""
        ...


@dataclass(frozen=True)
class Data:
    """A data set in its splits.

    Attributes:
        name: The name it was loaded by.
        classes: The name of each class, in the order of the labels.
        train: What a network is trained on.
        validation: What it is judged on while it trains.
        test: What it is judged on at the end; None if there is none.
    """

    name: str
    classes: tuple[str, ...]
    train: Split
    validation: Split
    test: Split | None = None

    def __post_init__(self) -> None:
        splits = {"training": self.train, "validation": self.validation, "test": self.test}
        for part, split in splits.items():
            if split is None:
                continue
            if not len(split):
                raise DataError(f"the data set {self.name} has no {part} images")
            if split.shape != self.train.shape:
                raise DataError(
                    f"the {part} images of {self.name} are of shape {split.shape}, the training images "
                    f"{self.train.shape}; bring them to one shape"
                )

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape of one image: channels, height, width."""
        return self.train.shape

    @property
    def channels(self) -> int:
        """The channels of an image."""
        return self.shape[0]

    @property
    def image_size(self) -> int:
        """The height and width of an image in pixels.

        Raises:
            DataError: If the images aren't square.
        """
        _, height, width = self.shape
        if height != width:
            raise DataError(
                f"the images of {self.name} are of shape {self.shape}, channels first, and not square; "
                f"give an image size (--image-size) to crop and resize them to"
            )
        return height

    def to(self, device: torch.device | str) -> Data:
        """Return the data with every split that is held in memory on `device`."""
        return self._each(lambda split: split.to(device))

    def resized(self, image_size: int) -> Data:
        """Return the data with square images of `image_size` pixels a side."""
        return self._each(lambda split: split.resized(image_size))

    def _each(self, change: Callable[[Split], Split]) -> Data:
        test = None if self.test is None else change(self.test)
        return replace(self, train=change(self.train), validation=change(self.validation), test=test)
