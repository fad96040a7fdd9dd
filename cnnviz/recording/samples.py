"""The fixed validation images that travel with a run, so that no page ever needs the data set."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch

from cnnviz.errors import ConfigError, ImageError, RunError
from cnnviz.recording.digest import state_digest, tensor_digest
from cnnviz.recording.manifest import KeptSamples
from cnnviz.recording.tensors import read_tensors, write_tensors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from torch import Tensor


class Sample(NamedTuple):
    """One image as the network sees it, float32 (c, h, w), and its class index."""

    image: Tensor
    label: int


@dataclass(frozen=True, eq=False)
class Samples:
    """A fixed batch of images and labels.

    Attributes:
        images: (n, c, h, w), float32 as the network sees them; recorded bytes are divided by 255.
        labels: (n,), int64.
    """

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Sample:
        if not -len(self) <= index < len(self):
            raise ImageError(f"the run has no sample {index}; it has {len(self)}, counted from 0")
        return Sample(self.images[index], int(self.labels[index]))

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))


def checked_samples(samples: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Return images (n, c, h, w), uint8 or float, and labels (n,) as tensors.

    Raises:
        ConfigError: If their shapes or types are others.
    """
    try:
        images, labels = (torch.as_tensor(part) for part in samples)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ConfigError(
            f"samples are a pair, images (n, c, h, w) and their labels (n,): {error}"
        ) from error
    if images.ndim != 4 or labels.shape != images.shape[:1]:
        raise ConfigError(
            "samples are a batch of images (n, c, h, w) and their labels (n,), "
            f"not {tuple(images.shape)} and {tuple(labels.shape)}"
        )
    if images.dtype != torch.uint8 and not images.is_floating_point():
        raise ConfigError(f"sample images are uint8 or floating point, not {images.dtype}")
    return images, labels.long()


def write_samples(path: Path, samples: tuple[Tensor, Tensor], *, durable: bool) -> None:
    """Write checked images and labels as they are."""
    write_tensors(path, {"images": samples[0], "labels": samples[1]}, durable=durable)


def describe_samples(samples: tuple[Tensor, Tensor]) -> KeptSamples:
    """Return what run.json tells of checked images and labels."""
    digests = {"images": tensor_digest(samples[0]), "labels": tensor_digest(samples[1])}
    return KeptSamples(len(samples[1]), state_digest(digests))


def describe_stored(path: Path) -> KeptSamples:
    """Return what run.json should tell of the samples that lie at `path`.

    Raises:
        RunError: If they are absent or damaged.
    """
    stored = read_tensors(path, ["images", "labels"])
    return describe_samples((stored["images"], stored["labels"]))


def read_samples(path: Path) -> Samples:
    """Return the samples of a run; none if it recorded none."""
    if not os.path.lexists(path):
        return Samples(torch.empty(0, 0, 0, 0), torch.empty(0, dtype=torch.int64))
    stored = read_tensors(path, ["images", "labels"])
    try:
        images, labels = checked_samples((stored["images"], stored["labels"]))
        if stored["labels"].dtype != torch.int64 or (len(images) and not images.numel()):
            raise ConfigError("its labels are no whole numbers, or its images hold no pixels")
    except ConfigError as error:
        raise RunError(f"{path} is damaged: {error}") from error
    return Samples(images / 255 if images.dtype == torch.uint8 else images.float(), labels)
