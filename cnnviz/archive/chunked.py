"""Reading one array of an archive, chunk by chunk, and nothing that the archive merely claims to hold.

A chunk that is absent, damaged or larger than it says is an error here, while zarr would give zeros for the first, and
memory for the last.
"""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from cnnviz.archive.changes import decode_changes
from cnnviz.archive.form import read_form
from cnnviz.errors import ConfigError, RunError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from cnnviz.archive.places import Place
    from cnnviz.archive.recent import Recent

MOST_EXPANSION = 25_000
"""How many times smaller than its content a chunk may be; zeros reach some 20,000."""

_SPARE = 2**20
_ENTRY = 16
_CHECKSUM = 4
_ABSENT = 2**64 - 1
_BLOSC = struct.Struct("<BBBBIII")
_SHUFFLED, _PLAIN_COPY, _ZSTD = 0x1, 0x2, 4


class Piece(NamedTuple):
    """Where a chunk lies: its place in the grid, the file, and the bytes from start to stop in it."""

    at: tuple[int, ...]
    key: str
    start: int
    stop: int


class ChunkedArray:
    """One array of an archive; its chunks are read when they are asked for."""

    def __init__(self, place: Place, name: str, indices: Recent) -> None:
        """Read the metadata of the array `name`; the indices of its files are kept in `indices`.

        Raises:
            RunError: If they are absent, damaged, or tell of anything that cnnviz never writes.
            ConfigError: If numcodecs is not installed.
        """
        self.name = name
        self.where = f"{place.location}/{name}"
        self.form = read_form(place, name)
        self._place = place
        self._indices = indices
        self._blosc, self._crc = _libraries()

    def rows(self, first: int = 0, stop: int | None = None) -> NDArray[Any]:
        """Return rows of an array whose chunks split its first axis only.

        Args:
            first: The first row.
            stop: The row behind the last; None for all.

        Raises:
            RunError: If a chunk is absent or damaged.
        """
        form = self.form
        stop = form.shape[0] if stop is None else stop
        if not 0 <= first <= stop <= form.shape[0] or form.chunk[1:] != form.shape[1:] or form.changes:
            raise RunError(f"{self.where} is damaged: it holds no rows {first} to {stop}")
        if first == stop:
            return np.empty((0, *form.shape[1:]), form.dtype)
        step, rest = form.chunk[0], (0,) * (len(form.shape) - 1)
        pieces = self.locate((c, *rest) for c in range(first // step, -(-stop // step)))
        rows = np.concatenate([self.decode(part) for part in self.read(pieces)])
        begin = first - pieces[0].at[0] * step
        return rows[begin : begin + stop - first]

    def locate(self, coordinates: Iterable[tuple[int, ...]]) -> list[Piece]:
        """Return where chunks lie; nothing but indices is read, and no memory made for what is not there.

        Raises:
            RunError: If one is absent, or they are too small to hold what they say.
        """
        found, room, per_shard = [], 0, self.form.per_shard
        for at in coordinates:
            key = self._key(tuple(c // p for c, p in zip(at, per_shard, strict=True)))
            entry = self._index(key)[tuple(c % p for c, p in zip(at, per_shard, strict=True))]
            start, length = int(entry[0]), int(entry[1])
            if start == _ABSENT or length <= _CHECKSUM:
                raise RunError(f"{self._place.location}/{key} is damaged: a chunk is missing")
            found.append(Piece(at, key, start, start + length))
            room += length + _ENTRY
        content = len(found) * self.form.chunk_bytes
        if content > MOST_EXPANSION * room + _SPARE:
            raise RunError(f"{self.where} is damaged: {room:,} bytes can't hold {content:,}")
        return found

    def read(self, pieces: Sequence[Piece]) -> list[bytes]:
        """Return chunks as they are stored, with one request for those that lie in one file."""
        by_file: dict[str, list[int]] = {}
        for number, piece in enumerate(pieces):
            by_file.setdefault(piece.key, []).append(number)
        found = [b""] * len(pieces)
        for key, numbers in by_file.items():
            parts = self._place.read(key, [(pieces[n].start, pieces[n].stop) for n in numbers])
            for number, part in zip(numbers, parts, strict=True):
                found[number] = part
        return found

    def decode(self, part: bytes) -> NDArray[Any]:
        """Return a chunk's values: time first, (T, n), where they were predicted, else in the chunk's shape.

        Raises:
            RunError: If it is damaged.
        """
        form = self.form
        body, checksum = part[:-_CHECKSUM], int.from_bytes(part[-_CHECKSUM:], "little")
        if self._crc(body) != checksum:
            raise RunError(f"{self.where} is damaged: a chunk's checksum is wrong")
        self._check_header(body)
        try:
            values = np.frombuffer(self._blosc.decode(body), form.dtype).reshape(form.chunk)
        except (RuntimeError, ValueError) as error:
            raise RunError(f"{self.where} is damaged: {error}") from error
        return decode_changes(values, *form.changes) if form.changes else values

    def _check_header(self, body: bytes) -> None:
        """Raise unless blosc's header tells of just what the metadata promise: it is what memory is made for."""
        form = self.form
        if len(body) < _BLOSC.size:
            raise RunError(f"{self.where} is damaged: a chunk ends too early")
        _, _, flags, typesize, size, _, compressed = _BLOSC.unpack_from(body)
        if size != form.chunk_bytes or compressed != len(body) or typesize != form.dtype.itemsize:
            raise RunError(
                f"{self.where} is damaged: a chunk tells of {size:,} bytes, not of {form.chunk_bytes:,}"
            )
        if flags >> 5 != _ZSTD and not flags & _PLAIN_COPY:
            raise RunError(f"{self.where} is damaged: a chunk is not compressed with zstd")

    def _key(self, shard: tuple[int, ...]) -> str:
        return f"{self.name}/c/{'/'.join(str(n) for n in shard)}"

    def _index(self, key: str) -> NDArray[np.uint64]:
        """Return where the chunks of a file lie in it, (*per_shard, 2): start and length."""
        known = self._indices.get(key)
        if known is not None:
            return known
        where, per_shard = f"{self._place.location}/{key}", self.form.per_shard
        size, room = self._place.size(key), math.prod(per_shard) * _ENTRY + _CHECKSUM
        if size is None:
            raise RunError(f"{where} is not there")
        if size < room:
            raise RunError(f"{where} is damaged: it ends too early")
        (text,) = self._place.read(key, [(size - room, size)])
        if self._crc(text[:-_CHECKSUM]) != int.from_bytes(text[-_CHECKSUM:], "little"):
            raise RunError(f"{where} is damaged: its index's checksum is wrong")
        index = np.frombuffer(text[:-_CHECKSUM], "<u8").reshape(*per_shard, 2)
        # In Python's numbers, which don't overflow; what overlaps would make a small file a large content.
        pairs = [(int(a), int(b)) for a, b in index.reshape(-1, 2) if a != _ABSENT]
        if sum(b for _, b in pairs) > size - room or any(a + b > size - room for a, b in pairs):
            raise RunError(f"{where} is damaged: its index leads out of it")
        self._indices.put(key, index)
        return index


def _libraries() -> tuple[Any, Any]:
    try:
        from google_crc32c import value
        from numcodecs.blosc import Blosc
    except ImportError as error:
        raise ConfigError("archives need zarr: pip install 'cnnviz[archive]'") from error
    return Blosc(), value
