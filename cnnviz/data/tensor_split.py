"""A split held as one tensor, on the device: a batch costs an index and a division, and no Python per image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from cnnviz.data.images import as_bytes, as_floats, resized
from cnnviz.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from cnnviz.types import ByteImages, Images, Labels

LIMIT = 1 << 30
"""Bytes of decoded images up to which a data set is held in memory: 1 GiB."""


class TensorSplit:
    """Labelled images held as one tensor."""

    def __init__(self, images: ByteImages | Images, labels: Labels) -> None:
        """Hold `images` and `labels`, without a copy.

        Args:
            images: Images of shape (n, c, h, w): uint8 in [0, 255], or float32 in [0, 1], kept as they are.
            labels: Class indices of shape (n,), int64.

        Raises:
            DataError: If shapes or types are others, or the numbers of images and labels differ.
        """
        if images.ndim != 4 or images.dtype not in (torch.uint8, torch.float32):
            raise DataError(
                f"images must be uint8 or float32 of shape (n, c, h, w), not {_described(images)}"
            )
        if labels.ndim != 1 or labels.dtype != torch.int64:
            raise DataError(f"labels must be int64 of shape (n,), not {_described(labels)}")
        if len(images) != len(labels):
            raise DataError(f"there are {len(images)} images but {len(labels)} labels")
        self.images = images
        self.labels = labels

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape of one image: channels, height, width."""
        _, channels, height, width = self.images.shape
        return channels, height, width

    def batches(
        self,
        order: Tensor | None,
        batch_size: int,
        device: torch.device | str,
        *,
        skip: int = 0,
        seed: int = 0,
    ) -> Iterator[tuple[Images, Labels]]:
        """Yield the images and labels batch by batch; see `Split.batches`."""
        images, labels = self.images, self.labels
        count = len(self)
        if order is not None:
            order = order.to(images.device)  # once, and not a slice of it every batch
            count = len(order)
        for start in range(skip * batch_size, count, batch_size):
            stop = start + batch_size
            if order is None:
                chosen, classes = images[start:stop], labels[start:stop]
            else:
                indices = order[start:stop]
                chosen, classes = images.index_select(0, indices), labels.index_select(0, indices)
            yield as_floats(chosen.to(device)), classes.to(device)

    def head(self, count: int) -> tuple[ByteImages, Labels]:
        """Return the first `count` images, as uint8 of shape (n, c, h, w), and their labels, on the CPU."""
        return as_bytes(self.images[:count].cpu()).clone(), self.labels[:count].cpu().clone()

    def to(self, device: torch.device | str) -> TensorSplit:
        """Return the split held on `device`."""
        return TensorSplit(self.images.to(device), self.labels.to(device))

    def resized(self, image_size: int) -> TensorSplit:
        """Return the split with square images of `image_size` pixels a side; itself if they are so already."""
        if self.shape[1:] == (image_size, image_size):
            return self
        return TensorSplit(resized(self.images, image_size), self.labels)

    def half(self, second: bool) -> TensorSplit:
        """Return the first or the second half of the split, a view; the second has the odd one."""
        middle = len(self) // 2
        part = slice(middle, None) if second else slice(0, middle)
        return TensorSplit(self.images[part], self.labels[part])


def _described(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} of shape {tuple(tensor.shape)}"
