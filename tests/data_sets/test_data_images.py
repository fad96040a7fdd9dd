"""Images as tensors: decoding, cropping, resizing, and bytes against floats."""

import numpy as np
import pytest
import torch
from PIL import Image

from cnnviz.data.images import as_bytes, as_floats, decoded, is_gray, resized


def test_bytes_to_floats_and_back_are_exact():
    every = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    assert torch.equal(as_floats(every), every.float() / 255)
    assert torch.equal(as_bytes(as_floats(every)), every)


def test_a_colour_image_comes_channels_first():
    image = Image.new("RGB", (3, 2), (1, 2, 3))
    assert decoded(image, 3).tolist() == [[[value] * 3] * 2 for value in (1, 2, 3)]
    assert decoded(image, 1).shape == (1, 2, 3)
    assert decoded(Image.new("L", (3, 2), 9), 3).unique().tolist() == [9]


@pytest.mark.parametrize(
    ("mode", "gray"), [("1", True), ("L", True), ("LA", True), ("I;16", True), ("RGB", False), ("P", False)]
)
def test_gray_is_told_by_the_mode(mode, gray):
    assert is_gray(Image.new(mode, (2, 2))) is gray


def test_sixteen_bits_keep_their_upper_eight():
    deep = Image.fromarray(np.array([[0, 255, 256, 65535]], np.uint16))
    assert decoded(deep, 1).tolist() == [[[0, 0, 1, 255]]]


def test_an_image_stands_as_exif_says():
    image = Image.fromarray(np.array([[1, 2], [3, 4]], np.uint8))
    image.getexif()[0x0112] = 3  # upside down
    assert decoded(image, 1).tolist() == [[[4, 3], [2, 1]]]


def test_transparent_palettes_are_read():
    image = Image.new("P", (2, 2))
    image.info["transparency"] = b"\x00\x01"
    assert decoded(image, 3).shape == (3, 2, 2)


def test_the_longer_side_is_cropped_at_the_centre():
    wide = torch.tensor([0, 10, 20, 30, 40, 50], dtype=torch.uint8).repeat(2, 1).reshape(1, 1, 2, 6)
    assert resized(wide, 2).tolist() == [[[[20, 30], [20, 30]]]]
    assert resized(wide.mT.contiguous(), 2).tolist() == [[[[20, 20], [30, 30]]]]


def test_halving_averages():
    square = (
        torch.tensor([[0, 4], [8, 12]], dtype=torch.uint8).repeat_interleave(4, 0).repeat_interleave(4, 1)
    )
    half = resized(square[None], 4)
    assert half.dtype == torch.uint8
    assert half[0, 0, 0] == 0
    assert half[0, 3, 3] == 12
    floats = resized(square[None].float(), 4)
    assert (floats - half).abs().max() <= 0.5


def test_the_size_given_is_the_size_returned():
    images = torch.rand(2, 3, 5, 5)
    assert resized(images, 5) is images
    for height, width, size in ((5, 7, 3), (7, 5, 12), (1, 9, 4), (333, 500, 224)):
        assert resized(torch.rand(1, height, width), size).shape == (1, size, size)
