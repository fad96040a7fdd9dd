"""Folders of images: both layouts, what fits into memory and what does not, and every complaint."""

import numpy as np
import pytest
import torch
from PIL import Image

from cnnviz.data import load
from cnnviz.data.loader_split import LoaderSplit
from cnnviz.data.tensor_split import TensorSplit
from cnnviz.errors import DataError


def save(path, value, *, mode="L", size=(8, 8)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((size[1], size[0]), value, np.uint8)).convert(mode).save(path)


def fill(folder, count, *, classes=("ant", "bee"), **how):
    """Write `count` images a class; their values tell class and number."""
    for label, name in enumerate(classes):
        for i in range(count):
            save(folder / name / f"{i:02}.png", 100 * label + i, **how)


def values(split):
    return split.images[:, 0, 0, 0].tolist()


def load_folder(path, **how):
    return load(f"folder:{path}", image_size=8, progress=False, **how)


def test_classes_only_are_cut_in_three(tmp_path):
    fill(tmp_path, 12)
    data = load_folder(tmp_path)
    assert data.classes == ("ant", "bee")
    assert data.name == f"folder:{tmp_path}"
    assert data.shape == (1, 8, 8)
    assert values(data.train) == [0, 100, 3, 103, 4, 104, 5, 105, 6, 106, 7, 107, 8, 108, 9, 109, 10, 110]
    assert values(data.validation) == [1, 101, 11, 111]
    assert values(data.test) == [2, 102]
    assert data.validation.labels.tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_splits_of_one_s_own(tmp_path, name):
    fill(tmp_path / "train", 3)
    fill(tmp_path / name, 2)
    data = load_folder(tmp_path)
    assert (len(data.train), len(data.validation), data.test) == (6, 4, None)
    fill(tmp_path / "test", 1, classes=("bee",))
    data = load_folder(tmp_path)
    assert values(data.validation) == [0, 100, 1, 101]
    assert data.test.labels.tolist() == [1]


def test_without_validation_the_test_images_are_halved_in_each_class(tmp_path):
    fill(tmp_path / "train", 3)
    fill(tmp_path / "test", 4)
    data = load_folder(tmp_path)
    assert values(data.validation) == [0, 100, 2, 102]
    assert values(data.test) == [1, 101, 3, 103]


def test_train_alone_is_cut_like_classes(tmp_path):
    fill(tmp_path / "train", 3)
    data = load_folder(tmp_path)
    assert (values(data.train), values(data.validation), values(data.test)) == ([0, 100], [1, 101], [2, 102])


def test_images_are_rgb_unless_all_are_gray(tmp_path):
    fill(tmp_path, 2)
    assert load_folder(tmp_path).channels == 1
    save(tmp_path / "bee" / "nested" / "x.jpg", 7, mode="RGB")
    assert load_folder(tmp_path).channels == 3


def test_images_are_cropped_and_resized(tmp_path):
    fill(tmp_path, 3, size=(20, 10))
    assert load(f"folder:{tmp_path}", progress=False).shape == (1, 224, 224)
    assert load(f"folder:{tmp_path}", image_size=5, progress=False).shape == (1, 5, 5)


def test_hidden_files_and_others_are_passed_over(tmp_path):
    fill(tmp_path, 3)
    (tmp_path / "ant" / "notes.txt").write_text("no image")
    (tmp_path / "ant" / "._00.png").write_bytes(b"a Mac's leavings")
    (tmp_path / ".cache").mkdir()
    assert len(load_folder(tmp_path).train) == 2


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_what_does_not_fit_is_loaded_by_workers_and_alike(tmp_path, monkeypatch):
    fill(tmp_path, 5)
    held = load_folder(tmp_path)
    monkeypatch.setattr("cnnviz.data.folder.LIMIT", 10 * 64 - 1)
    loaded = load_folder(tmp_path)
    assert isinstance(held.train, TensorSplit)
    assert isinstance(loaded.train, LoaderSplit)
    order = torch.tensor([3, 0, 2])
    (a, b), (c, d) = (next(data.train.batches(order, 3, "cpu")) for data in (held, loaded))
    assert torch.equal(a, c)
    assert torch.equal(b, d)


def test_a_progress_bar_goes_to_stderr(tmp_path, capsys):
    fill(tmp_path, 3)
    load(f"folder:{tmp_path}", image_size=8)
    assert capsys.readouterr().out == ""


def test_complaints(tmp_path):
    with pytest.raises(DataError, match="needs a path: folder:PATH"):
        load("folder")
    with pytest.raises(DataError, match=r"absent is no folder; give folder:PATH"):
        load_folder(tmp_path / "absent")
    with pytest.raises(DataError, match=r"holds no folders; put the images of each class"):
        load_folder(tmp_path)
    (tmp_path / "ant").mkdir()
    with pytest.raises(DataError, match=r"the class .*ant holds no images \(\.bmp"):
        load_folder(tmp_path)
    save(tmp_path / "ant" / "a.png", 1)
    with pytest.raises(DataError, match="has no validation images"):
        load_folder(tmp_path)


def test_a_class_that_training_lacks_is_named(tmp_path):
    fill(tmp_path / "train", 3)
    fill(tmp_path / "val", 1, classes=("ant", "wasp"))
    with pytest.raises(DataError, match=r"wasp is of the class 'wasp', which the training images lack"):
        load_folder(tmp_path)


@pytest.mark.parametrize("number", ["00", "05"])
def test_an_unreadable_image_is_named(tmp_path, number):
    fill(tmp_path, 6)
    path = tmp_path / "bee" / f"{number}.png"
    path.write_bytes(b"no image")
    with pytest.raises(
        DataError, match=rf"{number}\.png can't be read: no known image format; mend or delete"
    ):
        load_folder(tmp_path)


def test_a_truncated_image_is_named(tmp_path):
    fill(tmp_path, 6, size=(64, 64), mode="RGB")
    path = tmp_path / "bee" / "03.png"
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(DataError, match=r"03\.png can't be read: .*; mend or delete"):
        load_folder(tmp_path)
