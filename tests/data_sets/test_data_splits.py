"""Both kinds of split against a slow and obvious twin; the data set that holds them."""

import random

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset

from cnnviz.data.loader_split import LoaderSplit
from cnnviz.data.split import Data
from cnnviz.data.tensor_split import TensorSplit
from cnnviz.errors import DataError

# Forking workers from a process with threads (torch's) warns from Python 3.12 on.
pytestmark = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")

IMAGES = torch.randint(0, 256, (23, 3, 6, 6), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(23) % 5
ORDER = torch.randperm(23, generator=torch.Generator().manual_seed(1))


class Plain(Dataset):
    """A torch data set of the same images."""

    def __len__(self):
        return len(LABELS)

    def __getitem__(self, index):
        return IMAGES[index], int(LABELS[index])


class Noisy(Plain):
    """Adds noise from all three random states."""

    def __getitem__(self, index):
        noise = torch.rand(1).item() + random.random() + np.random.rand()
        return IMAGES[index].float() / 255 * noise / 3, int(LABELS[index])


class Uneven(Plain):
    def __getitem__(self, index):
        return torch.zeros(3, 6, 6 if index < 20 else 5, dtype=torch.uint8), 0


class Pictures(Plain):
    def __getitem__(self, index):
        return Image.fromarray(IMAGES[index].permute(1, 2, 0).numpy()), LABELS[index]


def twin(order, size, skip):
    """The batches, image by image."""
    indices = list(range(23)) if order is None else order.tolist()
    cut = [indices[i : i + size] for i in range(0, len(indices), size)][skip:]
    return [
        (torch.stack([IMAGES[i].float() / 255 for i in c]), torch.tensor([int(LABELS[i]) for i in c]))
        for c in cut
    ]


def same(found, wanted):
    found = list(found)
    return len(found) == len(wanted) and all(
        torch.equal(a, c) and torch.equal(b, d) for (a, b), (c, d) in zip(found, wanted, strict=True)
    )


SPLITS = {
    "tensor": TensorSplit(IMAGES, LABELS),
    "loader": LoaderSplit(Plain(), workers=0),
    "pictures": LoaderSplit(Pictures(), workers=0),
}


@pytest.mark.parametrize("split", SPLITS.values(), ids=SPLITS)
@pytest.mark.parametrize("order", [None, ORDER, ORDER[:9], torch.tensor([3, 3, 0])], ids=str)
@pytest.mark.parametrize(("size", "skip"), [(1, 0), (8, 0), (8, 2), (23, 0), (64, 0), (8, 3)])
def test_batches_are_the_slow_twin_s(split, order, size, skip):
    assert same(split.batches(order, size, "cpu", skip=skip), twin(order, size, skip))


@pytest.mark.parametrize("split", SPLITS.values(), ids=SPLITS)
def test_what_every_split_tells(split):
    assert len(split) == 23
    assert split.shape == (3, 6, 6)
    images, labels = split.head(4)
    assert torch.equal(images, IMAGES[:4])
    assert torch.equal(labels, LABELS[:4])
    assert (images.dtype, labels.dtype) == (torch.uint8, torch.int64)
    assert len(split.head(99)[0]) == 23
    assert same(split.to("cpu").batches(ORDER, 8, "cpu"), twin(ORDER, 8, 0))
    assert split.resized(4).shape == (3, 4, 4)
    assert split.resized(6).shape == (3, 6, 6)


def test_a_head_is_a_copy():
    images, _ = SPLITS["tensor"].head(1)
    images.zero_()
    assert IMAGES[0].any()


def test_both_kinds_resize_alike():
    (tensor, _), (loader, _) = (SPLITS[kind].resized(4).head(23) for kind in ("tensor", "loader"))
    assert torch.equal(tensor, loader)


def test_floats_are_kept_as_they_are():
    images = torch.rand(5, 1, 4, 4)
    split = TensorSplit(images, torch.zeros(5, dtype=torch.int64))
    assert torch.equal(next(split.batches(None, 5, "cpu"))[0], images)
    assert torch.equal(split.head(5)[0], (images * 255).round().byte())


def test_halves_are_views_and_the_second_has_the_odd_one():
    split = SPLITS["tensor"]
    first, second = split.half(second=False), split.half(second=True)
    assert (len(first), len(second)) == (11, 12)
    assert torch.equal(torch.cat([first.labels, second.labels]), LABELS)
    assert second.images.untyped_storage().data_ptr() == IMAGES.untyped_storage().data_ptr()


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (torch.zeros(2, 3, 3, dtype=torch.uint8), torch.zeros(2).long(), r"not uint8 of shape \(2, 3, 3\)"),
        (torch.zeros(2, 1, 3, 3).double(), torch.zeros(2).long(), "not float64 of shape"),
        (torch.zeros(2, 1, 3, 3), torch.zeros(2), r"labels must be int64 .* not float32"),
        (torch.zeros(2, 1, 3, 3), torch.zeros(2, 1).long(), r"labels must be int64 of shape \(n,\)"),
        (torch.zeros(2, 1, 3, 3), torch.zeros(3).long(), "2 images but 3 labels"),
    ],
)
def test_tensors_that_are_no_split(images, labels, message):
    with pytest.raises(DataError, match=message):
        TensorSplit(images, labels)


def test_random_transforms_depend_on_seed_and_image_alone():
    alone, workers = LoaderSplit(Noisy(), workers=0), LoaderSplit(Noisy(), workers=2)
    whole = list(alone.batches(ORDER, 5, "cpu", seed=7))
    assert same(workers.batches(ORDER, 5, "cpu", seed=7), whole)
    assert same(alone.batches(ORDER, 5, "cpu", seed=7, skip=2), whole[2:])
    assert not same(alone.batches(ORDER, 5, "cpu", seed=8), whole)


def test_loading_leaves_the_random_states_alone():
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    list(LoaderSplit(Noisy(), workers=0).batches(ORDER, 5, "cpu"))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before[1:]


@pytest.mark.parametrize("workers", [0, 1])
def test_an_image_of_another_shape_is_named(workers):
    with pytest.raises(
        DataError, match=r"^image 20 is of shape \(3, 6, 5\), the first one \(3, 6, 6\); bring"
    ) as error:
        list(LoaderSplit(Uneven(), workers=workers).batches(None, 8, "cpu"))
    assert "\n" not in str(error.value)
    assert len(list(LoaderSplit(Uneven(), workers=0, image_size=5).batches(None, 8, "cpu"))) == 3


def test_what_is_no_data_set():
    with pytest.raises(DataError, match="generator must be a map-style data set"):
        LoaderSplit(x for x in "ab")
    with pytest.raises(DataError, match=r"item 0 must hold a Pillow image or a tensor"):
        LoaderSplit([("a", 0)], workers=0)


def test_data_check_their_splits():
    split = SPLITS["tensor"]
    data = Data("mine", ("a", "b", "c", "d", "e"), split, split)
    assert (data.channels, data.image_size, data.shape, data.test) == (3, 6, (3, 6, 6), None)
    assert data.to("cpu").resized(3).shape == (3, 3, 3)
    with pytest.raises(DataError, match=r"validation images of mine are of shape \(3, 4, 4\), the training"):
        Data("mine", data.classes, split, split.resized(4))
    with pytest.raises(DataError, match="mine has no test images"):
        Data("mine", data.classes, split, split, TensorSplit(IMAGES[:0], LABELS[:0]))


def test_images_that_are_not_square_need_a_size():
    split = TensorSplit(torch.zeros(2, 1, 4, 6, dtype=torch.uint8), torch.zeros(2, dtype=torch.int64))
    data = Data("wide", ("a",), split, split)
    with pytest.raises(DataError, match=r"\(1, 4, 6\), channels first, and not square; give an image size"):
        _ = data.image_size
    assert data.resized(4).image_size == 4


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_split_on_a_gpu_gives_the_same_batches():
    moved = SPLITS["tensor"].to("cuda")
    assert moved.images.is_cuda
    found = [(a.cpu(), b.cpu()) for a, b in moved.batches(ORDER, 8, "cuda")]
    assert same(found, twin(ORDER, 8, 0))
    assert not moved.head(2)[0].is_cuda
