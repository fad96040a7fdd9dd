"""How tensors are cut: chunks and files of bounded size, few of them, and hardly any padding."""

import math

import pytest

from cnnviz.archive.plan import CHUNK_BYTES, READ_BYTES, SHARD_BYTES, plan

SIZES = (1, 10, 400, 5_000, 200_704, 2_359_296, 102_760_448)


@pytest.mark.parametrize("units", SIZES)
@pytest.mark.parametrize("steps", [1, 2, 63, 65, 300, 1000, 10_000])
def test_sizes_are_bounded_and_padding_is_small(units, steps):
    cut = plan(units, steps, 4)
    (wide, long), (high, far) = cut.chunk, cut.shard
    assert (high % wide, far % long, long % cut.period) == (0, 0, 0)
    assert wide * long * 4 <= CHUNK_BYTES
    assert high * far * 4 <= SHARD_BYTES
    assert units * cut.period * 4 <= max(READ_BYTES, units * 4)
    padded = math.ceil(units / wide) * wide * math.ceil(steps / long) * long
    assert padded <= 1.15 * units * steps + 64 * units


def test_files_are_few():
    def files(units):
        shard = plan(units, 1000, 4).shard
        return math.prod(-(-n // s) for n, s in zip((units, 1000), shard, strict=True))

    assert files(400) == 1
    assert files(200_704) == 16
    assert plan(200_704, 1000, 4).period == 63
