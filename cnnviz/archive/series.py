"""Reading one tensor over time from an archive, on several threads."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from cnnviz.archive.chunked import ChunkedArray
from cnnviz.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from concurrent.futures import Executor

    from numpy.typing import NDArray

    from cnnviz.archive.chunked import Piece
    from cnnviz.archive.columns import Column
    from cnnviz.archive.places import Place
    from cnnviz.archive.recent import Recent

# What is read before it is decoded, compressed.
_AT_ONCE = 64 * 2**20


class Series:
    """The bits of one tensor at the steps that have it."""

    def __init__(self, place: Place, name: str, column: Column, recent: Recent) -> None:
        """Read the metadata of the array `name`.

        Raises:
            RunError: If it is absent, damaged, or another than the column tells of.
        """
        self._array = ChunkedArray(place, name, recent)
        self._recent = recent
        form = self._array.form
        if form.shape != (column.units, column.count) or form.dtype != column.bits:
            raise RunError(
                f"{self._array.where} is damaged: {column.name!r} takes {(column.units, column.count)} of "
                f"{column.bits}, but there are {form.shape} of {form.dtype}"
            )

    def read(self, rows: NDArray[np.int64], executor: Executor) -> NDArray[Any]:
        """Return the bits at some rows of time, (len(rows), units).

        Raises:
            RunError: If a chunk is absent or damaged.
        """
        array = self._array
        (high, _), (wide, long) = array.form.shape, array.form.chunk
        if np.any(rows[1:] < rows[:-1]):
            order = np.argsort(rows, kind="stable")
            return self.read(rows[order], executor)[np.argsort(order)]
        numbers, starts = np.unique(rows // long, return_index=True)
        edges = [*starts.tolist(), len(rows)]
        places = {time: slice(*edge) for time, edge in zip(numbers.tolist(), pairwise(edges), strict=True)}
        pieces = array.locate((s, t) for t in places for s in range(array.form.grid[0]))
        bits = np.empty((len(rows), high), array.form.dtype)

        def put(piece: Piece, part: bytes | None) -> None:
            space, time = piece.at
            block = self._decoded(piece, part, keep=len(rows) == 1)
            left = slice(space * wide, min((space + 1) * wide, high))
            chosen = rows[places[time]] - time * long
            bits[places[time], left] = block[chosen, : left.stop - left.start]

        for some in _by_bytes(pieces):
            absent = [piece for piece in some if self._recent.get((piece.key, piece.at)) is None]
            parts = dict(zip(absent, self._fetch(absent, executor), strict=True))
            list(executor.map(put, some, [parts.get(piece) for piece in some]))
        return bits

    def _fetch(self, pieces: Sequence[Piece], executor: Executor) -> Iterator[bytes]:
        by_file: dict[str, list[Piece]] = {}
        for piece in pieces:
            by_file.setdefault(piece.key, []).append(piece)
        for parts in executor.map(self._array.read, by_file.values()):
            yield from parts

    def _decoded(self, piece: Piece, part: bytes | None, *, keep: bool) -> NDArray[Any]:
        """Return a chunk, time first; one that was read for a single step is kept for the steps beside it."""
        known = self._recent.get((piece.key, piece.at))
        if known is not None:
            return known
        values = self._array.decode(part if part is not None else self._array.read([piece])[0])
        block = values if self._array.form.changes else values.T
        if keep:
            self._recent.put((piece.key, piece.at), block)
        return block


def _by_bytes(pieces: Sequence[Piece]) -> Iterator[list[Piece]]:
    """Yield the pieces some at a time."""
    some: list[Piece] = []
    size = 0
    for piece in pieces:
        if some and size + piece.stop - piece.start > _AT_ONCE:
            yield some
            some, size = [], 0
        some.append(piece)
        size += piece.stop - piece.start
    if some:
        yield some
