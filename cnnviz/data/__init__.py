"""Data sets by name: each file here registers one, and `load` returns it split and ready to be batched."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cnnviz.data.request import Request
from cnnviz.errors import ConfigError
from cnnviz.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable

    from cnnviz.data.split import Data

DATASETS: Registry[Callable[[Request], Data]] = Registry("data set", "cnnviz.data")
"""The known data sets; each is a function of a `Request`."""

dataset = DATASETS.register
"""Register a loader: `@dataset("mnist")` before a function that takes a `Request` and returns `Data`."""


def load(
    name: str, *, root: str | Path = "data", image_size: int | None = None, progress: bool = True
) -> Data:
    """Return the data set `name`, downloaded first if it is absent.

    Args:
        name: A registered name ("mnist"), one with an argument ("folder:PATH"), or `package.module:factory` for
            data of the user's own (what a factory may return: see `cnnviz.data.custom`).
        root: The folder that holds the data sets, in torchvision's layout; downloads go there.
        image_size: Height and width in pixels that all images are brought to (the shorter side is resized to it,
            the longer one cropped at the centre); by default they keep theirs.
        progress: Whether slow steps show a progress bar on stderr.

    Returns:
        The data, as a training, a validation and, where there is one, a test split.

    Raises:
        ConfigError: If `image_size` is below 1.
        UnknownNameError: If there is no such data set.
        DataError: If the data are damaged, or absent and can't be downloaded.
    """
    if image_size is not None and image_size < 1:
        raise ConfigError(f"the image size must be at least 1, not {image_size}")
    known, _, argument = name.partition(":")
    request = Request(Path(root).expanduser(), argument or None, image_size, progress)
    if not argument or known in DATASETS:
        data = DATASETS.get(known if argument else name)(request)
    else:
        from cnnviz.data.custom import from_factory  # here, because it imports torch

        data = from_factory(DATASETS.get(name), name, request)
    return data if image_size is None else data.resized(image_size)
