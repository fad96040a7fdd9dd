"""Writing an archive's arrays with zarr; the group at its root comes last, and makes an archive of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cnnviz.archive.changes import DIVISORS, encode_changes
from cnnviz.archive.places import local_path, url_of
from cnnviz.archive.plan import plan
from cnnviz.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from cnnviz.archive.columns import Column
    from cnnviz.archive.plan import Plan

ROWS_BYTES = 2**18
"""The bytes of a chunk of an array that is cut along its first axis only."""

# What blosc shuffles together, at most.
_BLOCK_BYTES = 2**20
_SAMPLE_BYTES = 2**18
# More work for blosc is worth it where it saves this much.
_FAST, _THOROUGH, _WORTH = 1, 3, 0.97


class ArchiveWriter:
    """Writes the arrays of one archive into an empty place."""

    def __init__(self, location: str | Path) -> None:
        """Begin.

        Raises:
            ConfigError: If zarr, or for a URL obstore, is not installed, or the URL can't be used.
        """
        try:
            import zarr.storage
        except ImportError as error:
            raise ConfigError("archives need zarr: pip install 'cnnviz[archive]'") from error
        path = local_path(location)
        if path is not None:
            self._store: Any = zarr.storage.LocalStore(path)
        else:
            from cnnviz.archive.object_store import open_object_store

            self._store = zarr.storage.ObjectStore(open_object_store(url_of(location)))

    def write_rows(self, name: str, rows: NDArray[Any]) -> None:
        """Write an array whole, in chunks of its first axis; nothing is written of an empty one."""
        if not rows.size:
            return
        row_bytes = rows[0].nbytes
        count = min(len(rows), max(1, ROWS_BYTES // row_bytes))
        chunk = (count, *rows.shape[1:])
        shard = (-(-len(rows) // count) * count, *rows.shape[1:])
        array = self._create(name, rows.shape, rows.dtype, (chunk, shard), [], _THOROUGH)
        array[...] = rows

    def begin_column(self, name: str, column: Column, sample: NDArray[Any]) -> ColumnWriter:
        """Begin an array (units, steps) of a tensor over time.

        Args:
            name: The name of the array.
            column: The tensor.
            sample: Its bits at some successive steps, (steps, units), to find the best way to write it.
        """
        from cnnviz.archive.zarr_codec import Changes

        cut = plan(column.units, column.count, column.unit_bytes)
        divisor, level = _best_way(sample, cut)
        filters = [] if divisor is None else [Changes(cut.period, divisor)]
        shape = (column.units, column.count)
        attributes = {"name": column.name, "dtype": column.dtype, "shape": list(column.shape)}
        array = self._create(name, shape, column.bits, (cut.chunk, cut.shard), filters, level, attributes)
        return ColumnWriter(array, cut)

    def finish(self, attributes: dict[str, Any]) -> None:
        """Write what the root says of itself: with it the place becomes an archive."""
        import zarr

        zarr.open_group(self._store, mode="a").attrs.update(attributes)

    def _create(  # noqa: PLR0913 - they are what an array is made of
        self,
        name: str,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        cut: tuple[tuple[int, ...], tuple[int, ...]],
        filters: list[Any],
        level: int,
        attributes: dict[str, Any] | None = None,
    ) -> Any:
        import zarr
        from zarr.codecs import BloscCodec, Crc32cCodec

        chunk, shard = cut
        size = int(np.prod(chunk)) * dtype.itemsize
        blosc = BloscCodec(
            typesize=dtype.itemsize,
            cname="zstd",
            clevel=level,
            shuffle="shuffle",
            blocksize=min(size, _BLOCK_BYTES),
        )
        return zarr.create_array(
            self._store,
            name=name,
            shape=shape,
            dtype=dtype,
            chunks=chunk,
            shards=shard,
            filters=filters,
            compressors=[blosc, Crc32cCodec()],
            fill_value=0,
            attributes=attributes or {},
            config={"write_empty_chunks": True},  # so that an absent chunk is always damage
        )


class ColumnWriter:
    """Writes one tensor over time, some steps at a time.

    Attributes:
        plan: How it is cut; what is written at once should be whole files.
    """

    def __init__(self, array: Any, cut: Plan) -> None:
        self._array = array
        self.plan = cut

    def write(self, first: int, bits: NDArray[Any]) -> None:
        """Write the bits (steps, units) from step number `first` on."""
        wide = self.plan.shard[0]
        for start in range(0, bits.shape[1], wide):
            part = np.ascontiguousarray(bits[:, start : start + wide].T)
            self._array[start : start + wide, first : first + len(bits)] = part


def _best_way(sample: NDArray[Any], cut: Plan) -> tuple[int | None, int]:
    """Return the divisor of the prediction, None for none, and blosc's level, by trying them."""
    from numcodecs.blosc import SHUFFLE, Blosc

    steps = min(len(sample), cut.period)
    units = max(1, _SAMPLE_BYTES // (steps * sample.itemsize))
    every = max(1, sample.shape[1] // units)
    block = np.ascontiguousarray(sample[:steps, ::every][:, :units].T)
    sizes: dict[tuple[int | None, int], float] = {}
    for divisor in (None, *DIVISORS):
        written = block if divisor is None else encode_changes(block, steps, divisor)
        for level in (_FAST, _THOROUGH):
            size = len(Blosc("zstd", level, SHUFFLE, block.nbytes).encode(written))
            sizes[divisor, level] = size * (1.0 if level == _FAST else 1 / _WORTH)
    return min(sizes, key=lambda way: sizes[way])
