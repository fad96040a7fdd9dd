from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnviz_dashboards.chunks import Chunk, plan

counts = st.integers(0, 3000)
sizes = st.integers(0, 2**24)


def _indices(chunks: list[Chunk]) -> list[int]:
    return [i for chunk in chunks for i in range(chunk.start, chunk.stop, chunk.stride)]


@given(counts, sizes)
def test_every_snapshot_comes_once_but_the_last_comes_first(count: int, size: int) -> None:
    indices = _indices(plan(count, size))
    if count > 1:
        assert indices[0] == count - 1
        indices = indices[1:]
    assert sorted(indices) == list(range(count))


@given(counts, sizes)
def test_strides_halve_from_coarse_to_fine(count: int, size: int) -> None:
    chunks = plan(count, size)[1:] if count > 1 else plan(count, size)
    strides = [chunk.stride for chunk in chunks]
    assert strides == sorted(strides, reverse=True)
    assert all(stride in (1, 2, 4, 8, 16, 32, 64) for stride in strides)
    if count >= 512:
        assert strides[0] == 64


@given(counts, sizes)
def test_after_any_time_the_frames_are_spread_evenly(count: int, size: int) -> None:
    known: set[int] = set()
    before = count
    for chunk in plan(count, size)[1:]:
        known |= set(range(chunk.start, chunk.stop, chunk.stride))
        if chunk.stop == count and 0 in known:  # a pass is through
            ordered = [*sorted(known), count]
            gap = max(b - a for a, b in pairwise(ordered))
            assert gap <= max(before, 1)
            before = gap


@given(counts, sizes)
def test_chunks_are_bounded_in_bytes(count: int, size: int) -> None:
    for chunk in plan(count, size):
        frames = len(range(chunk.start, chunk.stop, chunk.stride))
        assert frames == 1 or frames * size <= 8 * 2**20
        assert 0 <= chunk.start < chunk.stop <= count


@given(counts, sizes, st.integers(1, 4000))
def test_after_some_the_rest_comes_in_order(count: int, size: int, after: int) -> None:
    assert _indices(plan(count, size, after)) == list(range(after, count))


@given(counts, sizes)
def test_a_chunk_can_be_read_from_its_text(count: int, size: int) -> None:
    for chunk in plan(count, size):
        assert Chunk.parse(str(chunk)) == chunk


def test_a_short_and_a_long_plan() -> None:
    assert [str(c) for c in plan(1, 1)] == ["0:1:1"]
    assert [str(c) for c in plan(3, 1)] == ["2:3:1", "0:3:1"]
    assert [str(c) for c in plan(40, 1)] == ["39:40:1", "0:40:4", "2:40:4", "1:40:2"]
    assert [str(c) for c in plan(5, 4 * 2**20)] == ["4:5:1", "0:2:1", "2:4:1", "4:5:1"]


@pytest.mark.parametrize(
    "text",
    ["", ":", "1", "1:2", "1:2:3:4", "a:b:c", "1:2:x", "-1:2:1", "2:2:1", "3:2:1", "0:2:0", "0:2:-1", "0:2:1.0",
     "0:" + "9" * 5000 + ":1"],
)  # fmt: skip
def test_what_is_no_chunk(text: str) -> None:
    with pytest.raises(ValueError, match="is no chunk"):
        Chunk.parse(text)
