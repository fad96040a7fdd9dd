"""Shape aliases for annotations, checked in the tests and free of cost in use."""

from __future__ import annotations

from jaxtyping import Float, Int64, UInt8
from torch import Tensor

Images = Float[Tensor, "b c h w"]
"""A batch of images as the network sees them, usually in [0, 1]."""

ByteImages = UInt8[Tensor, "b c h w"]
"""A batch of images as stored, in [0, 255]."""

Labels = Int64[Tensor, "b"]
"""Class indices, in [0, number of classes)."""

Filters = Float[Tensor, "out in kh kw"]
"""The weights of a convolution."""

Maps = Float[Tensor, "b c h w"]
"""The feature maps of a layer."""
