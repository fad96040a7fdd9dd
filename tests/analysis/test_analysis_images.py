"""Any image a user may have becomes what the network takes, or an error that says why not."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import cnnviz
from cnnviz.analysis.images import as_image, input_shape
from cnnviz.errors import ImageError

GRAY = torch.arange(16, dtype=torch.uint8).reshape(4, 4) * 17
EXPECTED = (torch.arange(16.0) * 17 / 255).reshape(1, 1, 4, 4)


def make_run(path, channels, size=4, samples=True, description=None):
    images = torch.zeros(3, channels, size, size, dtype=torch.uint8)
    images[1] = GRAY if size == 4 else 0
    with cnnviz.Recorder(
        path,
        nn.Conv2d(channels, 2, 3),
        samples=(images, torch.tensor([5, 6, 7])) if samples else None,
        description=description,
    ) as recorder:
        recorder.record(0)
    return cnnviz.open_run(path)


@pytest.fixture(scope="module")
def gray(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("gray") / "r", 1)


@pytest.fixture(scope="module")
def colour(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("colour") / "r", 3)


def sources(tmp_path, run):
    picture = Image.fromarray(GRAY.numpy())
    picture.save(tmp_path / "gray.png")
    picture.convert("RGBA").save(tmp_path / "alpha.png")
    floats = (GRAY / 255).numpy()
    readonly = GRAY.numpy().copy()
    readonly.flags.writeable = False
    return {
        "number": 1,
        "number from the end": -2,
        "numpy's number": np.int64(1),
        "sample": run.samples[1],
        "bytes (h, w)": GRAY,
        "bytes (c, h, w)": GRAY[None],
        "bytes (1, c, h, w)": GRAY[None, None],
        "numpy bytes": GRAY.numpy(),
        "numpy read-only": readonly,
        "numpy turned": GRAY.numpy()[::-1, ::-1].copy()[::-1, ::-1],
        "numpy Fortran": np.asfortranarray(GRAY.numpy()),
        "float32": GRAY / 255,
        "float64": (GRAY / 255).double(),
        "numpy float64": floats.astype(np.float64),
        "PIL gray": picture,
        "PIL colour": picture.convert("RGB"),
        "file": tmp_path / "gray.png",
        "file as text": str(tmp_path / "gray.png"),
        "file with alpha": tmp_path / "alpha.png",
    }


NAMES = [
    "number", "number from the end", "numpy's number", "sample", "bytes (h, w)", "bytes (c, h, w)",
    "bytes (1, c, h, w)", "numpy bytes", "numpy read-only", "numpy turned", "numpy Fortran", "float32",
    "float64", "numpy float64", "PIL gray", "PIL colour", "file", "file as text",
    "file with alpha",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_every_kind_of_source(name, gray, tmp_path):
    image = as_image(gray, sources(tmp_path, gray)[name])
    assert image.dtype == torch.float32
    assert image.shape == (1, 1, 4, 4)
    assert torch.allclose(image, EXPECTED, atol=1e-6)


def test_the_list_of_sources_is_whole(gray, tmp_path):
    assert list(sources(tmp_path, gray)) == NAMES


def test_gray_pictures_become_colour_and_colour_becomes_gray(gray, colour):
    red = Image.new("RGB", (9, 5), (255, 0, 0))
    assert as_image(colour, red)[0, :, 2, 2].tolist() == [1.0, 0.0, 0.0]
    assert as_image(gray, red)[0, 0, 2, 2].item() == pytest.approx(76 / 255)  # ITU-R 601: 0.299
    assert as_image(colour, Image.new("L", (9, 5), 51))[0, :, 1, 1].tolist() == pytest.approx([0.2] * 3)


def test_other_sizes_are_resized(gray):
    assert torch.allclose(as_image(gray, torch.full((9, 7), 0.25)), torch.full((1, 1, 4, 4), 0.25))
    checks = torch.zeros(8, 8)
    checks[:, 4:] = 1
    assert as_image(gray, checks)[0, 0, 0, [0, 3]].tolist() == [0.0, 1.0]


def test_the_source_is_not_written_to(gray):
    source = np.ones((4, 4), np.float32)
    as_image(gray, source).zero_()
    assert source.min() == 1


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        (3, "the run has no sample 3; it has 3, counted from 0"),
        (-4, "no sample -4"),
        (torch.zeros(3, 4, 4), "the image has 3 channels, but the network takes 1"),
        (torch.zeros(2, 1, 4, 4), r"one image is \(h, w\) or \(c, h, w\), not \(2, 1, 4, 4\)"),
        (np.zeros((1, 1, 1, 4, 4)), r"not \(1, 1, 1, 4, 4\)"),
        (np.zeros(()), r"not \(\)"),
        (np.zeros(16), r"not \(16,\)"),
        (np.zeros((0, 4)), r"not \(0, 4\)"),
        (np.array([["a", "b"], ["c", "d"]]), "an array of <U1 is no image"),
        ("no/such/file.png", "can't be read: .*No such file"),
    ],
)
def test_what_is_no_image(source, problem, gray):
    with pytest.raises(ImageError, match=problem):
        as_image(gray, source)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a picture",
        b"\x89PNG\r\n\x1a\n",
        b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(30),
        b"GIF89a",
    ],
)
def test_damaged_files(content, gray, tmp_path):
    path = tmp_path / "damaged.png"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=r"damaged\.png"):
        as_image(gray, path)
    with pytest.raises(ImageError, match="can't be read"):
        as_image(gray, tmp_path)


def test_every_truncation_of_a_file(gray, tmp_path):
    path = tmp_path / "whole.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40), np.uint8)).save(path)
    content = path.read_bytes()
    for length in range(0, len(content) - 30, 97):
        (tmp_path / "part.png").write_bytes(content[:length])
        with pytest.raises(ImageError, match=r"part\.png"):
            as_image(gray, tmp_path / "part.png")


def test_input_shape(gray, colour, tmp_path):
    assert input_shape(gray) == (1, 4, 4)
    assert input_shape(colour) == (3, 4, 4)
    described = cnnviz.Description(arguments={"channels": 3, "image_size": 8})
    assert input_shape(make_run(tmp_path / "a", 3, samples=False, description=described)) == (3, 8, 8)
    unknown = make_run(tmp_path / "b", 3, samples=False)
    assert input_shape(unknown) is None
    assert as_image(unknown, torch.ones(3, 7, 5)).shape == (1, 3, 7, 5)
    assert as_image(unknown, Image.new("RGB", (7, 5))).shape == (1, 3, 5, 7)
