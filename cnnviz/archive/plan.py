"""How a tensor over time is cut: into chunks that are compressed together, and files of many chunks."""

from __future__ import annotations

from typing import NamedTuple

PERIOD = 64
"""The steps that are compressed together, about: half of them cost some 4 % more room."""

CHUNK_BYTES = 4 * 2**20
SHARD_BYTES = 64 * 2**20
READ_BYTES = 384 * 2**20
"""What a tensor at all steps of a period may take in memory; larger ones get a shorter period."""

_MOST_PERIODS = 16


class Plan(NamedTuple):
    """The cut of an array (units, steps): units of some bytes, as many as a tensor has at one step.

    Attributes:
        period: How many steps hang on one whole value.
        chunk: Units and steps of a chunk.
        shard: Units and steps of a file.
    """

    period: int
    chunk: tuple[int, int]
    shard: tuple[int, int]


def plan(units: int, steps: int, unit_bytes: int) -> Plan:
    """Return the cut for a tensor.

    Args:
        units: How many units it has at one step, 1 or more.
        steps: At how many steps there is one, 1 or more.
        unit_bytes: The bytes of a unit.
    """
    size = units * unit_bytes
    period = _even(steps, max(1, min(PERIOD, READ_BYTES // size)))
    periods = max(1, min(_MOST_PERIODS, CHUNK_BYTES // (period * size), -(-steps // period)))
    time = period * _even(-(-steps // period), periods)
    space = _even(units, max(1, CHUNK_BYTES // (time * unit_bytes)))
    chunk_bytes = space * time * unit_bytes
    wide = _even(-(-units // space), max(1, SHARD_BYTES // chunk_bytes))
    long = _even(-(-steps // time), max(1, SHARD_BYTES // (chunk_bytes * wide)))
    return Plan(period, (space, time), (space * wide, time * long))


def _even(count: int, most: int) -> int:
    """Return the size of parts of at most `most`, as alike as can be, so that the last is not padded in vain."""
    parts = -(-count // most)
    return -(-count // parts)
