"""What the metadata of an archive's arrays say: the one form that cnnviz writes, and no other is read."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from cnnviz.archive.changes import DIVISORS
from cnnviz.errors import RunError

if TYPE_CHECKING:
    from cnnviz.archive.places import Place

TYPES = ("uint8", "uint16", "uint32", "uint64", "int8", "int32", "int64", "float32", "float64")
"""The types that there are."""

_MOST_METADATA = 2**16
_MOST_AXES = 8


class Form(NamedTuple):
    """What an array's metadata say.

    Attributes:
        shape: Its shape.
        dtype: Its type.
        shard: The shape of what lies in one file.
        chunk: The shape of what is compressed together.
        changes: Period and divisor of the prediction over time; None if values are written as they are.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    shard: tuple[int, ...]
    chunk: tuple[int, ...]
    changes: tuple[int, int] | None

    @property
    def chunk_bytes(self) -> int:
        """The bytes of one chunk, decoded."""
        return math.prod(self.chunk) * self.dtype.itemsize

    @property
    def per_shard(self) -> tuple[int, ...]:
        """How many chunks a file holds along each axis."""
        return tuple(s // c for s, c in zip(self.shard, self.chunk, strict=True))

    @property
    def grid(self) -> tuple[int, ...]:
        """How many chunks there are along each axis."""
        return tuple(-(-n // c) for n, c in zip(self.shape, self.chunk, strict=True))


def read_form(place: Place, name: str) -> Form:
    """Return what the metadata of an array say.

    Raises:
        RunError: If they are absent, damaged, or tell of anything that cnnviz never writes.
    """
    where, key = f"{place.location}/{name}", f"{name}/zarr.json"
    size = place.size(key)
    if size is None:
        raise RunError(f"{where} is not there")
    if size > _MOST_METADATA:
        raise RunError(f"{where} is damaged: its metadata take {size:,} bytes")
    (text,) = place.read(key, [(0, size)])
    try:
        form = _form(json.loads(text))
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        problem = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        raise RunError(f"{where} is damaged, or of another kind than cnnviz writes: {problem}") from error
    return form


def _form(content: dict[str, Any]) -> Form:
    if (content["zarr_format"], content["node_type"]) != (3, "array") or content.get("storage_transformers"):
        raise ValueError("it is no plain Zarr v3 array")
    if content["data_type"] not in TYPES:
        raise ValueError(f"its type is {content['data_type']!r}")
    shape = _numbers(content["shape"], least=0)
    grid, keys = content["chunk_grid"], content["chunk_key_encoding"]
    if (grid["name"], keys["name"]) != ("regular", "default") or keys.get("configuration", {}) not in (
        {},
        {"separator": "/"},
    ):
        raise ValueError("its chunks lie in no regular grid")
    shard = _numbers(grid["configuration"]["chunk_shape"], least=1)
    (sharding,) = _known_codecs(content["codecs"], ["sharding_indexed"])
    chunk = _numbers(sharding["chunk_shape"], least=1)
    if not len(shape) == len(shard) == len(chunk) or any(s % c for s, c in zip(shard, chunk, strict=True)):
        raise ValueError(f"shape {shape}, shards {shard} and chunks {chunk} don't fit")
    _known_codecs(sharding["index_codecs"], ["bytes", "crc32c"])
    if sharding.get("index_location", "end") != "end":
        raise ValueError("its index is not at the end")
    dtype = np.dtype(content["data_type"]).newbyteorder("<")
    form = Form(shape, dtype, shard, chunk, _changes(sharding["codecs"], chunk))
    if form.chunk_bytes >= 2**31:
        raise ValueError(f"its chunks {chunk} are larger than blosc allows")
    return form


def _changes(codecs: list[Any], chunk: tuple[int, ...]) -> tuple[int, int] | None:
    names = [codec["name"] for codec in codecs]
    first = ["cnnviz.changes"] if names[:1] == ["cnnviz.changes"] else []
    found = _known_codecs(codecs, [*first, "bytes", "blosc", "crc32c"])
    if found[-2].get("cname") != "zstd" or found[-2].get("shuffle") not in ("shuffle", "noshuffle"):
        raise ValueError(f"blosc is {found[-2]}")
    if not first:
        return None
    period, divisor = int(found[0]["period"]), int(found[0]["divisor"])
    if len(chunk) != 2 or period < 1 or chunk[1] % period or divisor not in DIVISORS:
        raise ValueError(
            f"a prediction over {period} steps with divisor {divisor} doesn't fit chunks {chunk}"
        )
    return period, divisor


def _known_codecs(codecs: list[Any], names: list[str]) -> list[dict[str, Any]]:
    """Return the configurations of codecs, in order, if these are what they are."""
    found = [str(codec["name"]) for codec in codecs]
    if found != names:
        raise ValueError(f"its codecs are {', '.join(found)}, not {', '.join(names)}")
    configurations = [codec.get("configuration", {}) for codec in codecs]
    if any(c.get("endian", "little") != "little" for c in configurations):
        raise ValueError("its bytes are big endian")
    return configurations


def _numbers(values: Any, least: int) -> tuple[int, ...]:
    numbers = tuple(values)
    if len(numbers) > _MOST_AXES or not numbers or not all(type(n) is int for n in numbers):
        raise ValueError(f"{numbers} is no shape")
    if min(numbers) < least or max(numbers) >= 2**62:
        raise ValueError(f"{numbers} is no shape")
    return numbers
