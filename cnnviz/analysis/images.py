"""Any image a user may have, made into what the run's network takes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional

from cnnviz.errors import ImageError
from cnnviz.recording.samples import Sample

if TYPE_CHECKING:
    from os import PathLike

    from PIL.Image import Image
    from torch import Tensor

    from cnnviz.recording.run import Run

    ImageSource = int | Sample | Tensor | np.ndarray[Any, Any] | Image | str | PathLike[str]
    """A sample's number, a sample, an array, a PIL image or a file."""


def as_image(run: Run, source: ImageSource) -> Tensor:
    """Return `source` as a batch of one image (1, c, h, w), float32, fitted to the network of `run`.

    Bytes are divided by 255. Pictures and files are made gray or colour and resized, as the network needs it.

    Args:
        run: The run whose network shall see the image.
        source: The number of one of the run's samples, a sample, a tensor or array (h, w), (c, h, w) or
            (1, c, h, w), a PIL image, or a path.

    Raises:
        ImageError: If it can't be read, or doesn't fit the network.
    """
    if isinstance(source, int):
        return run.samples[source].image[None]
    if isinstance(source, Sample):
        source = source.image
    shape = input_shape(run)
    if not isinstance(source, (torch.Tensor, np.ndarray)):
        source = _picture_array(source, shape)
    image = torch.as_tensor(source)
    image = image / 255 if image.dtype == torch.uint8 else image.float()
    while image.ndim < 4:
        image = image[None]
    if image.ndim != 4 or len(image) != 1:
        raise ImageError(f"one image is (h, w) or (c, h, w), not {tuple(np.shape(source))}")
    if shape is None:
        return image
    if image.shape[1] != shape[0]:
        raise ImageError(f"the image has {image.shape[1]} channels, but the network takes {shape[0]}")
    if image.shape[2:] != shape[1:]:
        image = functional.interpolate(image, shape[1:], mode="bilinear", antialias=True)
    return image


def input_shape(run: Run) -> tuple[int, int, int] | None:
    """Return the shape (c, h, w) of the images that the network of `run` was trained on; None if unknown."""
    if len(run.samples):
        channels, height, width = run.samples.images.shape[1:]
        return channels, height, width
    arguments = run.manifest.description.arguments
    if {"channels", "image_size"} <= set(arguments):
        return int(arguments["channels"]), int(arguments["image_size"]), int(arguments["image_size"])
    return None


def _picture_array(
    source: Image | str | PathLike[str], shape: tuple[int, int, int] | None
) -> np.ndarray[Any, Any]:
    """Return a PIL image or file as uint8 (c, h, w), with the network's number of channels and size."""
    from PIL import Image as PillowImage
    from PIL import UnidentifiedImageError

    try:
        picture = source if isinstance(source, PillowImage.Image) else PillowImage.open(Path(source))
        picture = picture.convert("L" if shape is not None and shape[0] == 1 else "RGB")
        if shape is not None:
            picture = picture.resize((shape[2], shape[1]), PillowImage.Resampling.BILINEAR)
    except (OSError, UnidentifiedImageError, TypeError, PillowImage.DecompressionBombError) as error:
        raise ImageError(f"the image {source!r} can't be read: {error}") from error
    pixels = np.asarray(picture)
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
