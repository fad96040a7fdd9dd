"""Images as tensors: decoded, brought to one size, and between bytes and floats."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image, ImageOps
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

    from cnnviz.types import ByteImages, Images

_GRAY = {"1", "L", "LA", "La"}


def is_gray(image: Image.Image) -> bool:
    """Return whether an image has one channel, by its mode alone (without decoding it)."""
    return image.mode in _GRAY or image.mode.startswith(("I", "F"))


def decoded(image: Image.Image, channels: int) -> Tensor:
    """Return an image as bytes, upright as its EXIF tag says.

    Args:
        image: The image, of any of Pillow's modes; 16-bit gray keeps its upper 8 bits, transparency is dropped.
        channels: 1 for gray, 3 for red, green and blue.

    Returns:
        A tensor of shape (channels, h, w), in [0, 255].
    """
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):  # Pillow's own conversion would clip at 255 and not scale
        deep = np.asarray(image).astype(np.int64).clip(0, 65535)
        image = Image.fromarray((deep >> 8).astype(np.uint8))
    if "transparency" in image.info:
        image = image.convert("RGBA")
    pixels = torch.from_numpy(np.array(image.convert("L" if channels == 1 else "RGB")))
    return pixels.reshape(*pixels.shape[:2], channels).permute(2, 0, 1).contiguous()


def resized(images: Tensor, size: int) -> Tensor:
    """Return images with the shorter side resized to `size` pixels and the longer one cropped at the centre.

    Resizing is bilinear and antialiased.

    Args:
        images: Images of shape (..., c, h, w), of uint8 or float.
        size: Height and width of the result in pixels, at least 1.

    Returns:
        Images of shape (..., c, size, size), of the type given.
    """
    *batch, channels, height, width = images.shape
    if (height, width) == (size, size):
        return images
    scale = size / min(height, width)
    target = [max(size, round(height * scale)), max(size, round(width * scale))]
    flat = images.reshape(-1, channels, height, width)
    larger = functional.interpolate(flat, target, mode="bilinear", antialias=True)
    top, left = ((side - size) // 2 for side in target)
    return (
        larger[..., top : top + size, left : left + size].reshape(*batch, channels, size, size).contiguous()
    )


def as_floats(images: Tensor) -> Images:
    """Return images as float32 in [0, 1]; floats are returned as they are."""
    return images.float().div_(255) if images.dtype == torch.uint8 else images


def as_bytes(images: Tensor) -> ByteImages:
    """Return images as uint8 in [0, 255], rounded to the nearest; bytes are returned as they are."""
    return images if images.dtype == torch.uint8 else (images * 255).round_().clamp_(0, 255).byte()
