"""IDX files, in which MNIST and its relatives come: a magic number, the dimensions, the bytes."""

from __future__ import annotations

import gzip
import math
import zlib
from typing import TYPE_CHECKING, BinaryIO

import torch

from cnnviz.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

_BYTES = 8  # the code for elements that are unsigned bytes
_CHUNK = 1 << 20


def read_idx(
    path: Path, *, dimensions: int, way_out: str = "delete it, so that it is downloaded again"
) -> Tensor:
    """Return the bytes of an IDX file, plain or gzipped (by its suffix .gz).

    Args:
        path: The file.
        dimensions: How many dimensions it must have: 1 for labels, 3 for images.
        way_out: What the user can do if the file is damaged; ends the error's message.

    Returns:
        A tensor of uint8, in [0, 255], of the shape that the file's header gives.

    Raises:
        DataError: If the file is absent, unreadable, no such IDX file, truncated or too long; it names the file.
    """
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            return _read(file, dimensions)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path} is damaged: {error}; {way_out}") from error
    except OSError as error:
        raise DataError(f"{path} can't be read: {error.strerror or error}; {way_out}") from error
    except ValueError as error:
        raise DataError(f"{path} is no valid IDX file: {error}; {way_out}") from error


def _read(file: BinaryIO | gzip.GzipFile, dimensions: int) -> Tensor:
    header = file.read(4)
    if header != bytes([0, 0, _BYTES, dimensions]):
        wanted = bytes([0, 0, _BYTES, dimensions]).hex()
        raise ValueError(f"it starts with {header.hex() or 'nothing'}, not with {wanted}")
    lengths = file.read(4 * dimensions)
    if len(lengths) < 4 * dimensions:
        raise ValueError("it ends within its header")
    shape = [int.from_bytes(lengths[i : i + 4], "big") for i in range(0, len(lengths), 4)]
    if 0 in shape:
        raise ValueError(f"its header promises no bytes ({shape})")
    body = _read_at_most(file, math.prod(shape) + 1)
    if len(body) != math.prod(shape):
        found = f"only {len(body)}" if len(body) < math.prod(shape) else "more"
        raise ValueError(f"its header promises {math.prod(shape)} bytes ({shape}), it holds {found}")
    return torch.frombuffer(body, dtype=torch.uint8).reshape(shape)


def _read_at_most(file: BinaryIO | gzip.GzipFile, limit: int) -> bytearray:
    """Return what follows, up to `limit` bytes, by chunks: a lying header must not make us allocate what it says."""
    body = bytearray()
    while len(body) < limit and (chunk := file.read(min(_CHUNK, limit - len(body)))):
        body += chunk
    return body
