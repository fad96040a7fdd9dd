"""The embedded sample: its known counts, its size, and its licence beside it."""

from importlib.resources import files

import torch

from cnnviz.data import load

# Of the pixels chosen from the whole of MNIST by an independent script, which also compared them byte by byte.
SUMS = {"train": 159_014_314, "validation": 24_889_073, "test": 27_728_268}


def test_its_splits_have_the_known_counts():
    data = load("mnist-mini")
    assert data.name == "mnist-mini"
    assert data.classes == tuple("0123456789")
    assert (data.shape, data.channels, data.image_size) == ((1, 28, 28), 1, 28)
    for split, each in ((data.train, 600), (data.validation, 100), (data.test, 100)):
        assert split.images.dtype == torch.uint8
        assert split.labels.bincount().tolist() == [each] * 10


def test_its_pixels_are_mnist_s():
    data = load("mnist-mini")
    found = {part: int(getattr(data, part).images.sum()) for part in SUMS}
    assert found == SUMS
    # The labels of MNIST's first training and test images, as everyone knows them.
    assert data.train.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert data.validation.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]


def test_it_is_small_and_brings_its_licence():
    folder = files("cnnviz.data.mnist_mini")
    sizes = [len(file.read_bytes()) for file in folder.iterdir() if file.name.endswith(".gz")]
    assert len(sizes) == 6
    assert sum(sizes) < 1_600_000
    licence = (folder / "LICENSE.txt").read_text(encoding="utf-8")
    assert "CC BY-SA 3.0" in licence
    assert "Yann LeCun and Corinna Cortes" in licence
