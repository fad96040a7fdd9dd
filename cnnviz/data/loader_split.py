"""A split that doesn't fit into memory: a torch data set, read by DataLoader workers."""

from __future__ import annotations

import os
import random
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from cnnviz.data.images import as_bytes, as_floats, decoded, is_gray, resized
from cnnviz.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from cnnviz.types import ByteImages, Images, Labels


class LoaderSplit:
    """Labelled images of a torch data set, loaded batch by batch."""

    def __init__(
        self, dataset: Dataset[Any], *, workers: int | None = None, image_size: int | None = None
    ) -> None:
        """Batch a data set.

        Args:
            dataset: A map-style data set (it has a length and is indexed) of pairs: a Pillow image or a tensor of
                shape (c, h, w), uint8 in [0, 255] or float in [0, 1], and a class index.
            workers: Processes that load; 0 loads in this one. By default one a core, four at most.
            image_size: Height and width in pixels that the images are brought to; None for their own.

        Raises:
            DataError: If `dataset` has no length or yields something else.
        """
        if not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
            raise DataError(f"{type(dataset).__name__} must be a map-style data set: with len() and an index")
        self._items = _Items(dataset, image_size)
        self._workers = min(4, os.cpu_count() or 1) if workers is None else workers
        if len(self):
            self._items.shape = tuple(self._items[0, 0][0].shape)

    def __len__(self) -> int:
        return len(self._items)

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape of the first image, and so of all: channels, height, width."""
        channels, height, width = self._items.shape or (0, 0, 0)
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
        indices = list(range(len(self))) if order is None else order.tolist()
        loader = DataLoader(
            self._items,
            batch_size=batch_size,
            # Each image brings its own seed: what is skipped needn't be loaded, and the number of workers
            # changes nothing.
            sampler=[(index, seed) for index in indices[skip * batch_size :]],
            num_workers=self._workers,
            pin_memory=torch.device(device).type == "cuda",
            generator=torch.Generator(),  # else the loader would draw from the global one
        )
        try:
            for images, labels in loader:
                yield as_floats(images.to(device, non_blocking=True)), labels.to(device, non_blocking=True)
        except DataError as error:  # from a worker it comes with that worker's traceback before its message
            raise DataError(str(error).rpartition("DataError: ")[2].strip()) from error

    def head(self, count: int) -> tuple[ByteImages, Labels]:
        """Return the first `count` images, as uint8 of shape (n, c, h, w), and their labels, on the CPU."""
        pairs = [self._items[index, 0] for index in range(min(count, len(self)))]
        images = [as_bytes(image) for image, _ in pairs]
        return torch.stack(images), torch.tensor([label for _, label in pairs], dtype=torch.int64)

    def to(self, device: torch.device | str) -> LoaderSplit:
        """Return the split itself: it is not held in memory."""
        return self

    def resized(self, image_size: int) -> LoaderSplit:
        """Return the split with square images of `image_size` pixels a side."""
        return LoaderSplit(self._items.dataset, workers=self._workers, image_size=image_size)


class _Items(Dataset[tuple[Any, int]]):
    """Items as tensors of one size, each drawn with its own random state."""

    def __init__(self, dataset: Dataset[Any], image_size: int | None) -> None:
        self.dataset = dataset
        self._image_size = image_size
        self.shape: tuple[int, ...] | None = None  # that every image must have

    def __len__(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type] # checked to have one

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, int]:
        index, seed = key
        with _seeded(seed, index):
            image, label = self.dataset[index]
        if isinstance(image, Image.Image):
            image = decoded(image, 1 if is_gray(image) else 3)
        if not isinstance(image, torch.Tensor) or image.ndim != 3:
            raise DataError(f"item {index} must hold a Pillow image or a tensor of shape (c, h, w)")
        if image.dtype != torch.uint8:
            image = image.float()
        if self._image_size is not None:
            image = resized(image, self._image_size)
        if self.shape is not None and image.shape != self.shape:
            raise DataError(
                f"image {index} is of shape {tuple(image.shape)}, the first one {self.shape}; bring them to one "
                f"shape, or give an image size (--image-size)"
            )
        return image, int(label)


@contextmanager
def _seeded(seed: int, index: int) -> Iterator[None]:
    """Seed the random states that transforms draw from, for one item; put them back after it."""
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()
    own = int(np.random.SeedSequence((seed, index)).generate_state(1)[0])
    torch.default_generator.manual_seed(own)  # torch.manual_seed would reach for the accelerators, too
    random.seed(own)
    np.random.seed(own)
    try:
        yield
    finally:
        torch.set_rng_state(before[0])
        random.setstate(before[1])
        np.random.set_state(before[2])
