"""MNIST and its relatives, CIFAR-10: files that are there, absent, damaged, and a machine without a network."""

import gzip
import struct
import subprocess
import sys
from types import SimpleNamespace
from urllib.error import URLError

import numpy as np
import pytest
import torch
import torchvision.datasets

from cnnviz.data import cifar10, fashion_mnist, kmnist, load
from cnnviz.errors import DataError

FOLDERS = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST", "kmnist": "KMNIST"}
FILES = {"train": 6, "t10k": 5}


def idx(array):
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def write_small_set(root, folder, *, zipped=False):
    """Write six training and five test images, each full of its own number."""
    raw = root / folder / "raw"
    raw.mkdir(parents=True)
    for part, count in FILES.items():
        images = np.repeat(np.arange(count, dtype=np.uint8), 4).reshape(count, 2, 2)
        for what, array in (("images-idx3", images), ("labels-idx1", images[:, 0, 0].copy())):
            path = raw / f"{part}-{what}-ubyte"
            if zipped:
                path.with_suffix(".gz").write_bytes(gzip.compress(idx(array)))
            else:
                path.write_bytes(idx(array))
    return raw


@pytest.fixture
def offline(monkeypatch):
    def fail(*_, **__):
        raise URLError("Name or service not known")

    monkeypatch.setattr("urllib.request.urlopen", fail)


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(("name", "folder"), FOLDERS.items())
def test_the_test_images_are_halved(tmp_path, name, folder, zipped):
    write_small_set(tmp_path, folder, zipped=zipped)
    data = load(name, root=tmp_path)
    assert data.name == name
    assert len(data.classes) == 10
    assert data.shape == (1, 2, 2)
    assert data.train.labels.tolist() == [0, 1, 2, 3, 4, 5]
    assert data.validation.labels.tolist() == [0, 1]
    assert data.test.labels.tolist() == [2, 3, 4]
    assert data.test.images[:, 0, 1, 1].tolist() == [2, 3, 4]


def test_the_classes_are_torchvision_s():
    assert list(fashion_mnist.CLASSES) == torchvision.datasets.FashionMNIST.classes
    assert list(kmnist.CLASSES) == torchvision.datasets.KMNIST.classes
    assert cifar10.CLASSES[:3] == ("airplane", "automobile", "bird")


@pytest.mark.parametrize("name", [*FOLDERS, "cifar10"])
def test_offline_the_error_names_the_ways_out(tmp_path, name, offline):
    with pytest.raises(DataError) as error:
        load(name, root=tmp_path / "nowhere", progress=False)
    message = str(error.value)
    assert message.startswith(f"{name} isn't whole under {tmp_path / 'nowhere'} and can't be downloaded")
    assert "Name or service not known" in message
    assert "--data-root" in message
    assert "--data mnist-mini" in message
    assert "\n" not in message


@pytest.mark.parametrize("error", [RuntimeError("bad digest"), TimeoutError(), PermissionError("read-only")])
def test_any_failed_download_is_told(tmp_path, error, monkeypatch):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(torchvision.datasets, "MNIST", fail)
    with pytest.raises(DataError, match=r"can't be downloaded: (bad digest|TimeoutError|read-only)"):
        load("mnist", root=tmp_path)


def test_absent_data_are_downloaded(tmp_path, monkeypatch, capsys):
    def download(root, *, download):
        assert download
        print("chatter")
        print("100%", file=sys.stderr)
        write_small_set(root, "MNIST")

    monkeypatch.setattr(torchvision.datasets, "MNIST", download)
    assert len(load("mnist", root=tmp_path / "shown").train) == 6
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "100%" in shown.err
    assert len(load("mnist", root=tmp_path / "quiet", progress=False).train) == 6
    assert capsys.readouterr().err == ""


def test_an_incomplete_folder_is_downloaded_again(tmp_path, offline):
    raw = write_small_set(tmp_path, "MNIST")
    (raw / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match="mnist isn't whole"):
        load("mnist", root=tmp_path, progress=False)


def test_a_truncated_file_is_named(tmp_path):
    path = write_small_set(tmp_path, "MNIST") / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte is no valid IDX file.*delete it"):
        load("mnist", root=tmp_path)


def test_images_and_labels_must_be_as_many(tmp_path):
    raw = write_small_set(tmp_path, "MNIST")
    (raw / "t10k-labels-idx1-ubyte").write_bytes(idx(np.zeros(4, np.uint8)))
    with pytest.raises(DataError, match=r"t10k-images-idx3-ubyte holds 5 images but .* 4 labels"):
        load("mnist", root=tmp_path)


def test_a_label_must_have_a_class(tmp_path):
    raw = write_small_set(tmp_path, "MNIST")
    (raw / "t10k-labels-idx1-ubyte").write_bytes(idx(np.full(5, 10, np.uint8)))
    with pytest.raises(DataError, match=r"t10k-labels-idx1-ubyte holds the label 10, above 9"):
        load("mnist", root=tmp_path)


@pytest.mark.parametrize("name", [*FOLDERS, "cifar10", "mnist-mini"])
def test_no_argument_is_taken(name):
    with pytest.raises(DataError, match=f"{name} takes no argument: write {name}, not {name}:x"):
        load(f"{name}:x")


def test_cifar10_is_held_channels_first(tmp_path, monkeypatch):
    (tmp_path / "cifar-10-batches-py").mkdir()
    images = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)

    def cifar(root, *, train, download):
        assert not download
        return SimpleNamespace(
            data=images if train else images[:4], targets=[3, 1, 4, 1, 5, 9][: 6 if train else 4]
        )

    monkeypatch.setattr(torchvision.datasets, "CIFAR10", cifar)
    data = load("cifar10", root=tmp_path)
    assert data.shape == (3, 32, 32)
    assert torch.equal(data.train.images, torch.from_numpy(images.transpose(0, 3, 1, 2).copy()))
    assert data.validation.labels.tolist() == [3, 1]
    assert data.test.labels.tolist() == [4, 1]


def test_a_damaged_cifar10_is_named(tmp_path):
    (tmp_path / "cifar-10-batches-py").mkdir()
    (tmp_path / "cifar-10-batches-py" / "data_batch_1").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    with pytest.raises(DataError, match=r"cifar-10-batches-py is damaged; delete it"):
        load("cifar10", root=tmp_path)


def test_present_data_need_no_torchvision(tmp_path):
    write_small_set(tmp_path, "MNIST")
    code = (
        "import sys, cnnviz.data as d; assert 'torch' not in sys.modules;"
        f"d.load('mnist', root={str(tmp_path)!r}); assert 'torchvision' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
