"""Image files as a torch data set, and all of them decoded into one tensor."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import torch
from PIL import Image, UnidentifiedImageError
from torch.utils.data import Dataset

from cnnviz.data.images import decoded, is_gray, resized
from cnnviz.data.tensor_split import TensorSplit
from cnnviz.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor


class ImageFiles(Dataset["tuple[Tensor, int]"]):
    """Image files, each decoded when it is asked for, to (channels, size, size) bytes."""

    def __init__(self, files: Sequence[tuple[Path, int]], size: int, channels: int) -> None:
        """Name the files.

        Args:
            files: Paths and labels.
            size: Height and width that images are brought to, in pixels.
            channels: 1 for gray, 3 for RGB.
        """
        self.files = files
        self.shape = (channels, size, size)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        path, label = self.files[index]
        try:
            with Image.open(path) as image:
                pixels = decoded(image, self.shape[0])
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise _unreadable(path, error) from error
        return resized(pixels, self.shape[1]), label

    @staticmethod
    def channels_of(paths: Sequence[Path]) -> int:
        """Return 1 if all images are gray by their headers, else 3 (known at the first that isn't)."""
        for path in paths:
            try:
                with Image.open(path) as image:
                    if not is_gray(image):
                        return 3
            except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
                raise _unreadable(path, error) from error
        return 1


def decode(files: ImageFiles, *, progress: bool) -> TensorSplit:
    """Return all images of `files` decoded into one tensor, by as many threads as there are cores.

    Args:
        files: The images.
        progress: Whether a progress bar is shown on stderr.

    Returns:
        The split, images of uint8.

    Raises:
        DataError: If an image can't be read; it names the file.
    """
    from rich.console import Console  # here: 70 ms, and only folders need it
    from rich.progress import Progress

    images = torch.empty((len(files), *files.shape), dtype=torch.uint8)

    def read(index: int) -> None:
        images[index] = files[index][0]

    shown = Progress(console=Console(stderr=True), transient=True, disable=not progress)
    with (
        shown,
        ThreadPoolExecutor(os.cpu_count()) as pool,
    ):  # Pillow lets go of the interpreter while it decodes
        try:
            for _ in shown.track(pool.map(read, range(len(files))), len(files), description="Reading images"):
                pass
        except DataError:
            pool.shutdown(cancel_futures=True)  # else the error would wait for all other images
            raise
    return TensorSplit(images, torch.tensor([label for _, label in files.files], dtype=torch.int64))


def _unreadable(path: Path, error: Exception) -> DataError:
    # Pillow's own message names an object, not what is wrong.
    reason = "no known image format" if isinstance(error, UnidentifiedImageError) else str(error)
    return DataError(f"the image {path} can't be read: {reason}; mend or delete it")
