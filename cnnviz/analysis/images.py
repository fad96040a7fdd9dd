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

    from numpy.typing import NDArray
    from PIL.Image import Image
    from torch import Tensor

    from cnnviz.recording.run import Run
    from cnnviz.types import Images

    ImageSource = int | np.integer[Any] | Sample | Tensor | NDArray[Any] | Image | str | PathLike[str]
    """A sample's number, a sample, an array, a PIL image or a file."""

# What a run says of its images comes from anybody: no picture is made larger than this.
_LARGEST_SIDE = 4096
_MOST_CHANNELS = 64


def as_image(run: Run, source: ImageSource) -> Images:
    """Return `source` as a batch of one image (1, c, h, w), float32, fitted to the network of `run`.

    Bytes are divided by 255. Pictures and files are made gray or colour and resized, as the network needs it.

    Args:
        run: The run whose network shall see the image.
        source: The number of one of the run's samples, a sample, a tensor or array (h, w), (c, h, w) or
            (1, c, h, w), a PIL image, or a path.

    Raises:
        ImageError: If it can't be read, or doesn't fit the network.
    """
    if isinstance(source, (int, np.integer)):
        return run.samples[int(source)].image[None]
    if isinstance(source, Sample):
        source = source.image
    shape = input_shape(run)
    if not isinstance(source, (torch.Tensor, np.ndarray)):
        source = _picture_array(source, shape)
    image = _batch_of_one(source)
    if shape is None:
        return image
    if image.shape[1] != shape[0]:
        raise ImageError(f"the image has {image.shape[1]} channels, but the network takes {shape[0]}")
    if image.shape[2:] != shape[1:]:
        image = functional.interpolate(image, shape[1:], mode="bilinear", antialias=True)
    return image


def input_shape(run: Run) -> tuple[int, int, int] | None:
    """Return the shape (c, h, w) of the images that the network of `run` was trained on; None if unknown.

    Raises:
        ImageError: If the run says nothing that could be a shape.
    """
    if len(run.samples):
        channels, height, width = run.samples.images.shape[1:]
        return channels, height, width
    arguments = run.manifest.description.arguments
    if not {"channels", "image_size"} <= set(arguments):
        return None
    channels, size = arguments["channels"], arguments["image_size"]
    whole = type(channels) is int and type(size) is int
    if not whole or not 1 <= channels <= _MOST_CHANNELS or not 1 <= size <= _LARGEST_SIDE:
        raise ImageError(
            f"{run.location}: run.json tells of images with {channels!r} channels and {size!r} pixels a side; "
            f"up to {_MOST_CHANNELS} and {_LARGEST_SIDE} are possible"
        )
    return channels, size, size


def _batch_of_one(source: Tensor | NDArray[Any]) -> Images:
    """Return an array (h, w), (c, h, w) or (1, c, h, w) as (1, c, h, w), float32; bytes are divided by 255."""
    try:
        image = torch.as_tensor(source.copy() if isinstance(source, np.ndarray) else source)
    except TypeError as error:
        raise ImageError(f"an array of {source.dtype} is no image: {error}") from error
    image = image / 255 if image.dtype == torch.uint8 else image.float()
    if not 2 <= image.ndim <= 4 or not image.numel() or (image.ndim == 4 and len(image) != 1):
        raise ImageError(f"one image is (h, w) or (c, h, w), not {tuple(image.shape)}")
    return image.reshape((1,) * (4 - image.ndim) + tuple(image.shape))


def _picture_array(source: Image | str | PathLike[str], shape: tuple[int, int, int] | None) -> NDArray[Any]:
    """Return a PIL image or file as uint8 (c, h, w), with the network's number of channels and size."""
    from PIL import Image as PillowImage

    try:
        if isinstance(source, PillowImage.Image):
            pixels = _pixels(source, shape)
        else:
            with PillowImage.open(Path(source)) as picture:
                pixels = _pixels(picture, shape)
    # Damaged files make Pillow raise SyntaxError and ValueError, too.
    except (OSError, SyntaxError, ValueError, TypeError, PillowImage.DecompressionBombError) as error:
        raise ImageError(f"the image {source!r} can't be read: {error}") from error
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def _pixels(picture: Image, shape: tuple[int, int, int] | None) -> NDArray[Any]:
    from PIL.Image import Resampling

    picture = picture.convert("L" if shape is not None and shape[0] == 1 else "RGB")
    return np.asarray(picture if shape is None else picture.resize((shape[2], shape[1]), Resampling.BILINEAR))
