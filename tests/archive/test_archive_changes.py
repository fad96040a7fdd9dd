"""The prediction over time: known numbers, a slow twin, and every bit pattern back."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnviz.archive.changes import DIVISORS, decode_changes, encode_changes

WIDTHS = ("u1", "u2", "u4", "u8")


def slow_twin(row, period, divisor):
    """The definition, number by number, in Python's own integers."""
    width = 8 * row.itemsize
    values = [int(value) for value in row]

    def signed(n):
        return (n + 2 ** (width - 1)) % 2**width - 2 ** (width - 1)

    written = []
    for start in range(0, len(values), period):
        part, change = values[start : start + period], 0
        written.append(part[0])
        for before, now in itertools.pairwise(part):
            expected = change - change // divisor if divisor else change
            change = signed(now - before)
            left = signed(change - expected)
            written.append(2 * left if left >= 0 else -2 * left - 1)
    return written


def test_known_values():
    # Changes 10, 9, 8: with k = 10, of 10 is expected 9, of 9 again 9 (9 // 10 = 0), so 8 is one less.
    row = np.array([[100, 110, 119, 127]], "u4")
    assert encode_changes(row, 4, 10).tolist() == [[100, 20, 0, 1]]
    assert encode_changes(row, 4, 1).tolist() == [[100, 20, 18, 16]]
    assert encode_changes(row, 4, 0).tolist() == [[100, 20, 1, 1]]
    assert encode_changes(row, 2, 1).tolist() == [[100, 20, 119, 16]]
    assert decode_changes(np.array([[100, 20, 0, 1]], "u4"), 4, 10).tolist() == [[100], [110], [119], [127]]


@pytest.mark.parametrize("divisor", DIVISORS)
@pytest.mark.parametrize("width", WIDTHS)
def test_as_the_slow_twin_and_back(width, divisor):
    generator = np.random.default_rng(3)
    wild = generator.integers(0, 2 ** (8 * int(width[1])), (6, 12), width)
    edges = np.tile(np.array([0, np.iinfo(width).max, np.iinfo(width).max // 2 + 1], width), (2, 4))
    calm = (100 + generator.integers(0, 3, (4, 12)).cumsum(1)).astype(width)
    for bits in (wild, edges, calm):
        for period in (1, 3, 4, 12):
            rest = encode_changes(bits, period, divisor)
            assert rest.dtype == bits.dtype
            assert rest.tolist() == [slow_twin(row, period, divisor) for row in bits]
            assert np.array_equal(decode_changes(rest, period, divisor), bits.T)


@given(st.binary(min_size=24, max_size=24), st.sampled_from(WIDTHS), st.sampled_from(DIVISORS))
def test_any_bits_come_back_and_any_rest_is_some_bits(data, width, divisor):
    bits = np.frombuffer(data, width).reshape(3, -1)
    steps = bits.shape[1]
    assert np.array_equal(decode_changes(encode_changes(bits, steps, divisor), steps, divisor), bits.T)
    back = np.ascontiguousarray(decode_changes(bits, steps, divisor).T)
    assert np.array_equal(encode_changes(back, steps, divisor), bits)


def test_momentum_leaves_next_to_nothing():
    steps = np.arange(64)
    decay = np.round(2**30 - 2**24 * 0.9**steps).astype("u4")[None]
    rest = encode_changes(decay, 64, 10)
    assert rest[0, 2:].max() <= 4
    assert encode_changes(decay, 64, 1)[0, 2:].max() > 10**6
