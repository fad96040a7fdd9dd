"""In which order a film's frames are sent: coarse to fine in time, so that a long film can be scrubbed at once."""

from __future__ import annotations

from dataclasses import dataclass

_COARSEST = 64
_FIRST_FRAMES = 8
_CHUNK_BYTES = 8 * 2**20


@dataclass(frozen=True)
class Chunk:
    """Every `stride`-th snapshot from `start` up to but not with `stop`."""

    start: int
    stop: int
    stride: int

    def __str__(self) -> str:
        return f"{self.start}:{self.stop}:{self.stride}"

    @property
    def slice(self) -> slice:
        """The chunk as a slice of a run."""
        return slice(self.start, self.stop, self.stride)

    @classmethod
    def parse(cls, text: str) -> Chunk:
        """Return the chunk that `str` gave.

        Raises:
            ValueError: If it is none.
        """
        problem = f"{text!r} is no chunk, as 0:64:2 is"
        try:
            start, stop, stride = (int(part) for part in text.split(":"))
        except ValueError as error:
            raise ValueError(problem) from error
        if not 0 <= start < stop or stride < 1:
            raise ValueError(problem)
        return cls(start, stop, stride)


def plan(count: int, frame_bytes: int, after: int = 0) -> list[Chunk]:
    """Return chunks that hold each of `count` snapshots from number `after` on, in the order to send them.

    The last snapshot comes first, because a page opens on it; then every 64th, then the halves between.

    Args:
        count: How many snapshots there are.
        frame_bytes: How large one frame is while it is computed, in bytes.
        after: How many the page has already; the rest is sent in order.
    """
    longest = max(1, _CHUNK_BYTES // max(1, frame_bytes))
    if after:
        return _split(Chunk(after, count, 1), longest) if after < count else []
    stride = 1
    while stride < _COARSEST and count // (stride * 2) >= _FIRST_FRAMES:
        stride *= 2
    chunks = [Chunk(count - 1, count, 1)] if count > 1 else []
    chunks += _split(Chunk(0, count, stride), longest) if count else []
    while stride > 1:
        chunks += _split(Chunk(stride // 2, count, stride), longest)
        stride //= 2
    return chunks


def _split(chunk: Chunk, longest: int) -> list[Chunk]:
    span = longest * chunk.stride
    starts = range(chunk.start, chunk.stop, span)
    return [Chunk(start, min(start + span, chunk.stop), chunk.stride) for start in starts]
