"""The prediction over time as a codec of Zarr, so that zarr itself reads a run's arrays where cnnviz is installed."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from zarr.abc.codec import ArrayArrayCodec
from zarr.registry import register_codec

from cnnviz.archive.changes import decode_changes, encode_changes

if TYPE_CHECKING:
    from zarr.core.array_spec import ArraySpec
    from zarr.core.buffer import NDBuffer

NAME = "cnnviz.changes"


@dataclass(frozen=True)
class Changes(ArrayArrayCodec):
    """Replaces unsigned integers (n, T) by what a prediction over time leaves over; see `cnnviz.archive.changes`.

    Attributes:
        period: How many steps hang on one whole value.
        divisor: What the prediction divides by.
    """

    is_fixed_size = True

    period: int
    divisor: int

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Return the codec that an array's metadata describe."""
        return cls(**data["configuration"])

    def to_dict(self) -> dict[str, Any]:
        """Return what an array's metadata say."""
        return {"name": NAME, "configuration": {"period": self.period, "divisor": self.divisor}}

    def compute_encoded_size(self, input_byte_length: int, _chunk_spec: ArraySpec) -> int:
        """Return the same size."""
        return input_byte_length

    async def _encode_single(self, chunk_data: NDBuffer, chunk_spec: ArraySpec) -> NDBuffer:
        bits = chunk_data.as_numpy_array()
        written = await asyncio.to_thread(encode_changes, bits, self.period, self.divisor)
        return chunk_spec.prototype.nd_buffer.from_numpy_array(written)

    async def _decode_single(self, chunk_data: NDBuffer, chunk_spec: ArraySpec) -> NDBuffer:
        rest = chunk_data.as_numpy_array()
        values = await asyncio.to_thread(decode_changes, rest, self.period, self.divisor)
        return chunk_spec.prototype.nd_buffer.from_numpy_array(values.T)


register_codec(NAME, Changes)
