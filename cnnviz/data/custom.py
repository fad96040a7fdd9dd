"""Data of the user's own, named as `package.module:factory`.

The factory is called without arguments, or with `root=` if it takes it. It returns a `Data`, or two or three
splits (training, validation and, if there is one, test). Each is a torch data set, or a pair of images and labels:
arrays or tensors, images of shape (n, h, w) or (n, c, h, w), uint8 in [0, 255] or floats in [0, 1]. The names of
the classes are taken from an attribute `classes` of the factory or of the training data, else they are "0", "1", ...
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.data import Dataset, TensorDataset

from cnnviz.data.loader_split import LoaderSplit
from cnnviz.data.split import Data, Split
from cnnviz.data.tensor_split import TensorSplit
from cnnviz.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor

    from cnnviz.data.request import Request


def from_factory(factory: Callable[..., Any], name: str, request: Request) -> Data:
    """Return the data that a user's own factory makes.

    Args:
        factory: What `name` points to; what it may return is told at the top of this module.
        name: The data set's name, `package.module:factory`.
        request: Where the data sets are.

    Returns:
        The data.

    Raises:
        DataError: If the factory can't be called so, or returns something else, or a label has no class.
    """
    try:
        parameters = inspect.signature(factory).parameters
        arguments = {"root": request.root} if "root" in parameters else {}
        inspect.signature(factory).bind(**arguments)
    except (TypeError, ValueError) as error:
        raise DataError(f"{name} can't be called without arguments or with root=: {error}") from error
    result = factory(**arguments)
    if isinstance(result, Data):
        return _check_labels(result)
    if not isinstance(result, tuple | list) or len(result) not in (2, 3):
        raise DataError(
            f"{name} must return a cnnviz Data, or a tuple of training, validation and, if there is one, test: "
            f"each a torch data set or a pair of images and labels"
        )
    parts = zip(result, ("training", "validation", "test"), strict=False)
    splits = [_split(part, f"the {what} data of {name}") for part, what in parts]
    classes = _classes(factory, result[0], splits, name)
    return _check_labels(Data(name, classes, *splits))


def _split(part: object, what: str) -> Split:
    """Return a user's data as a split; a data set of tensors only is held in memory."""
    if isinstance(part, TensorDataset) and len(part.tensors) == 2:
        part = part.tensors
    if isinstance(part, tuple | list) and len(part) == 2 and all(_is_array(a) for a in part):
        try:
            return TensorSplit(_images(_tensor(part[0])), _labels(_tensor(part[1])))
        except (DataError, TypeError, ValueError) as error:
            raise DataError(f"{what}: {error}") from error
    if isinstance(part, Dataset):
        return LoaderSplit(part)
    raise DataError(
        f"{what} must be a torch data set or a pair of images and labels, not {type(part).__name__}"
    )


def _is_array(value: object) -> bool:
    return isinstance(value, np.ndarray | torch.Tensor)


def _tensor(array: Tensor | NDArray[Any]) -> Tensor:
    """Return an array as a tensor, copied only where torch couldn't use it as it lies."""
    if isinstance(array, torch.Tensor):
        return array.detach()
    return torch.from_numpy(np.require(array, requirements=["C", "W"]))


def _images(images: Tensor) -> Tensor:
    if images.ndim == 3:
        images = images.unsqueeze(1)
    if images.is_floating_point():
        images = images.float()
        if not bool(((images >= 0) & (images <= 1)).all()):  # written so that NaN fails
            low, high = float(images.min()), float(images.max())
            raise DataError(f"floating-point images must be in [0, 1]; these go from {low:.3g} to {high:.3g}")
    return images


def _labels(labels: Tensor) -> Tensor:
    whole = not labels.is_floating_point() and not labels.is_complex() and labels.dtype != torch.bool
    return labels.to(torch.int64) if whole else labels


def _classes(factory: object, train: object, splits: list[Split], name: str) -> tuple[str, ...]:
    """Return the names of the classes; without any, the numbers up to the largest label."""
    named = getattr(factory, "classes", None) or getattr(train, "classes", None)
    if named is not None:
        return tuple(str(c) for c in named)
    if not isinstance(splits[0], TensorSplit):
        raise DataError(
            f"{name} doesn't tell its classes: set {name.partition(':')[2]}.classes to their names"
        )
    return tuple(map(str, range(max(1, _label_range(splits)[1] + 1))))


def _check_labels(data: Data) -> Data:
    """Return `data` if every label known beforehand has a class."""
    low, high = _label_range(
        [split for split in (data.train, data.validation, data.test) if split is not None]
    )
    if low < 0 or high >= len(data.classes):
        wrong = low if low < 0 else high
        raise DataError(
            f"{data.name} has the label {wrong}; with {len(data.classes)} classes labels go from 0 to "
            f"{len(data.classes) - 1}"
        )
    return data


def _label_range(splits: list[Split]) -> tuple[int, int]:
    labels = [split.labels for split in splits if isinstance(split, TensorSplit) and len(split)]
    low = min((int(known.min()) for known in labels), default=0)
    return low, max((int(known.max()) for known in labels), default=-1)
