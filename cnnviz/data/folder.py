"""Images in folders, one folder a class: `folder:PATH`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cnnviz.data import dataset
from cnnviz.data.image_files import ImageFiles, decode
from cnnviz.data.loader_split import LoaderSplit
from cnnviz.data.split import Data
from cnnviz.data.tensor_split import LIMIT
from cnnviz.errors import DataError

if TYPE_CHECKING:
    from cnnviz.data.request import Request
    from cnnviz.data.split import Split

IMAGE_SIZE = 224
"""Height and width in pixels that images are brought to by default: what torchvision's networks are made for."""

SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
_VALIDATION = ("val", "validation", "valid")

ByClass = dict[str, list[Path]]  # class name: its images, sorted


@dataset("folder")
def load(request: Request) -> Data:
    """Return the images of a folder, cropped and resized to squares (224 pixels unless an image size is asked for).

    PATH holds `train`, `val` (or `validation`, `valid`) and perhaps `test`, and each of them a folder for each
    class; if `val` is missing, every other test image of a class becomes validation. Or PATH (or its `train` alone)
    holds the folders of the classes: then of every ten images of a class the second is for validation and the
    third for the test. Images are gray if all are, else RGB.
    """
    if request.argument is None:
        raise DataError("the data set folder needs a path: folder:PATH")
    path = Path(request.argument).expanduser()
    if not path.is_dir():
        raise DataError(f"{path} is no folder; give folder:PATH the folder that holds train/ or the classes")
    train, validation, test = _parts(path)
    classes = tuple(sorted(train))
    files = [_files(part, classes) for part in (train, validation, test)]
    splits = _splits(files, request.image_size or IMAGE_SIZE, progress=request.progress)
    return Data(f"folder:{request.argument}", classes, splits[0], splits[1], splits[2] if test else None)


def _parts(path: Path) -> tuple[ByClass, ByClass, ByClass]:
    """Return the images for training, validation and test; the last may be empty."""
    given = {folder.name: folder for folder in _folders(path)}
    if "train" not in given:
        return _cut(_classes(path))
    train = _classes(given["train"])
    validation = next((_classes(given[name]) for name in _VALIDATION if name in given), {})
    test = _classes(given["test"]) if "test" in given else {}
    if validation:
        return train, validation, test
    if test:  # the notebook halves the test images; by class, because they lie sorted by class
        return train, _every(test, 2, 0), _every(test, 2, 1)
    return _cut(train)


def _cut(images: ByClass) -> tuple[ByClass, ByClass, ByClass]:
    """Cut one set of images in three, of each ten one for validation and one for the test."""
    train = {name: [p for i, p in enumerate(paths) if i % 10 not in (1, 2)] for name, paths in images.items()}
    return train, _every(images, 10, 1), _every(images, 10, 2)


def _every(images: ByClass, step: int, start: int) -> ByClass:
    chosen = {name: paths[start::step] for name, paths in images.items()}
    return {name: paths for name, paths in chosen.items() if paths}


def _folders(path: Path) -> list[Path]:
    return sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))


def _classes(path: Path) -> ByClass:
    """Return the images of each class below `path`, in sorted order."""
    images: ByClass = {}
    for folder in _folders(path):
        found = [p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and not p.name.startswith(".")]
        if not found:
            raise DataError(
                f"the class {folder} holds no images ({', '.join(sorted(SUFFIXES))}); delete the folder"
            )
        images[folder.name] = sorted(found)
    if not images:
        raise DataError(
            f"{path} holds no folders; put the images of each class into a folder of its own there"
        )
    return images


def _files(images: ByClass, classes: tuple[str, ...]) -> list[tuple[Path, int]]:
    """Return the images with their labels, the classes taking turns, so that any first few show many classes."""
    unknown = sorted(set(images) - set(classes))
    if unknown:
        where = images[unknown[0]][0].parent
        raise DataError(f"{where} is of the class {unknown[0]!r}, which the training images lack")
    turns = [(turn, label) for label, name in enumerate(classes) for turn in range(len(images.get(name, [])))]
    return [(images[classes[label]][turn], label) for turn, label in sorted(turns)]


def _splits(files: list[list[tuple[Path, int]]], size: int, *, progress: bool) -> list[Split]:
    """Return each list of files as a split: decoded now if all fit into memory, else loaded by workers."""
    channels = ImageFiles.channels_of([path for part in files for path, _ in part])
    sets = [ImageFiles(part, size, channels) for part in files]
    if sum(len(part) for part in sets) * channels * size * size <= LIMIT:
        return [decode(part, progress=progress) for part in sets]
    return [LoaderSplit(part) for part in sets]
