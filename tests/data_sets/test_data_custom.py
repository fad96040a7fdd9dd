"""Data of the user's own: every form that a factory may return, and what it may not."""

import sys

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset, TensorDataset

from cnnviz.data import DATASETS, dataset, load
from cnnviz.data.loader_split import LoaderSplit
from cnnviz.data.split import Data
from cnnviz.data.tensor_split import TensorSplit
from cnnviz.errors import ConfigError, DataError, UnknownNameError

PAIR = (np.arange(48, dtype=np.uint8).reshape(3, 4, 4), np.array([0, 2, 1]))


class Items(Dataset):
    classes = ("zero", "one")

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return torch.full((1, 4, 4), index / 4), index % 2


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Make a module of the user's own; returns a function that puts a factory into it and loads it."""
    (tmp_path / "own_data_for_test.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))

    def made(factory, **how):
        import own_data_for_test

        own_data_for_test.make = factory
        return load("own_data_for_test:make", root=tmp_path, **how)

    yield made
    sys.modules.pop("own_data_for_test", None)


def test_pairs_of_arrays(own):
    data = own(lambda: (PAIR, PAIR, PAIR))
    assert data.name == "own_data_for_test:make"
    assert data.classes == ("0", "1", "2")
    assert data.shape == (1, 4, 4)
    assert data.train.images.dtype == torch.uint8
    assert data.test.labels.tolist() == [0, 2, 1]
    assert own(lambda: (PAIR, PAIR)).test is None


def test_pairs_of_floats_stay_floats(own):
    images = torch.rand(3, 2, 4, 4, dtype=torch.float64)
    data = own(lambda: ((images, torch.tensor([1, 0, 1])), (images, torch.tensor([0, 0, 0]))))
    assert torch.equal(data.train.images, images.float())


def test_arrays_that_torch_cannot_use_as_they_lie(own):
    images = np.flip(PAIR[0], 2)
    images.flags.writeable = False
    data = own(lambda: ((images, PAIR[1].astype(np.int32)), PAIR))
    assert torch.equal(data.train.images[:, 0], torch.from_numpy(images.copy()))
    assert data.train.labels.dtype == torch.int64


def test_torch_data_sets(own):
    data = own(lambda: (Items(), Items()))
    assert isinstance(data.train, LoaderSplit)
    assert data.classes == ("zero", "one")
    fixed = TensorDataset(torch.rand(3, 1, 4, 4), torch.tensor([0, 1, 1]))
    data = own(lambda: (fixed, fixed))
    assert isinstance(data.train, TensorSplit)


def test_data_are_taken_as_they_are(own):
    split = TensorSplit(torch.zeros(2, 1, 4, 4), torch.tensor([0, 1]))
    made = Data("mine", ("a", "b"), split, split)
    assert own(lambda: made) is made
    assert own(lambda: made, image_size=8).shape == (1, 8, 8)


def test_the_root_is_given_to_who_takes_it(own, tmp_path):
    seen = []

    def make(root):
        seen.append(root)
        return PAIR, PAIR

    own(make)
    assert seen == [tmp_path]


def test_classes_are_named_by_the_factory(own):
    def make():
        return PAIR, PAIR

    make.classes = ["a", "b", "c"]
    assert own(make).classes == ("a", "b", "c")
    make.classes = ["a", "b"]
    with pytest.raises(DataError, match="has the label 2; with 2 classes labels go from 0 to 1"):
        own(make)


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (None, "must return a cnnviz Data, or a tuple"),
        ((PAIR,), "must return a cnnviz Data, or a tuple"),
        (
            PAIR,
            "the training data of own_data_for_test:make must be a torch data set or a pair .* not ndarray",
        ),
        ((PAIR, 3), "the validation data of .* not int"),
        (((PAIR[0], PAIR[1][:2]), PAIR), "the training data of .*: there are 3 images but 2 labels"),
        (
            (PAIR, (PAIR[0] / 1.0, PAIR[1])),
            r"the validation data .*must be in \[0, 1\]; these go from 0 to 47",
        ),
        (((PAIR[0] * np.nan, PAIR[1]), PAIR), r"must be in \[0, 1\]"),
        (((PAIR[0], PAIR[1] / 1.0), PAIR), "labels must be int64"),
        (((PAIR[0], PAIR[1] - 1), PAIR), "has the label -1"),
        (((PAIR[0].astype(object), PAIR[1]), PAIR), "the training data of"),
        (((PAIR[0][0], PAIR[1]), PAIR), r"images must be uint8 or float32 of shape \(n, c, h, w\)"),
        ((PAIR, (PAIR[0][:, :2], PAIR[1])), r"validation images of .* are of shape \(1, 2, 4\)"),
        ((PAIR, (PAIR[0][:0], PAIR[1][:0])), "has no validation images"),
    ],
)
def test_what_is_no_data(own, result, message):
    with pytest.raises(DataError, match=message):
        own(lambda: result)


def test_a_data_set_must_tell_its_classes(own):
    class Nameless(Items):
        classes = None

    with pytest.raises(DataError, match=r"doesn't tell its classes: set make\.classes"):
        own(lambda: (Nameless(), Nameless()))


def test_a_factory_must_be_callable_without_more(own):
    with pytest.raises(DataError, match="can't be called without arguments or with root="):
        own(lambda width: None)
    with pytest.raises(DataError, match="can't be called"):
        own(3)


def test_names_that_are_not_there():
    with pytest.raises(UnknownNameError, match=r"no data set is named 'mnst'\. Did you mean 'mnist'"):
        load("mnst")
    with pytest.raises(UnknownNameError, match="can't be imported"):
        load("no_such_package_here:make")
    with pytest.raises(ConfigError, match="image size must be at least 1, not 0"):
        load("mnist-mini", image_size=0)


def test_images_are_resized_once_at_load():
    data = load("mnist-mini", image_size=14)
    assert data.shape == (1, 14, 14)
    assert data.train.images.dtype == torch.uint8


def test_a_loader_is_registered_by_the_decorator(monkeypatch):
    monkeypatch.setattr(DATASETS, "_things", dict(DATASETS._things))

    @dataset("tiny")
    def tiny(request):
        split = TensorSplit(torch.zeros(1, 1, 4, 4), torch.tensor([0]))
        return Data(f"tiny:{request.argument}", ("a",), split, split)

    assert load("tiny:thing").name == "tiny:thing"
    assert {"mnist", "fashion-mnist", "kmnist", "cifar10", "mnist-mini", "folder"} <= set(DATASETS.names())
