"""Digests of what a network holds: the same state has the same digest, in whatever files it lies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import xxhash

from cnnviz.recording.encoding import Raw, raw_tensor

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor


def raw_digest(raw: Raw) -> bytes:
    """Return the 16 bytes (XXH3) that stand for the type, shape and memory of a tensor."""
    digest = xxhash.xxh3_128(f"{raw.dtype}{raw.shape}".encode())
    digest.update(raw.data)
    return digest.digest()


def tensor_digest(tensor: Tensor) -> bytes:
    """Return the 16 bytes (XXH3) that stand for the type, shape and values of a tensor, to the bit.

    Raises:
        ModelError: If it is of a type that can't be recorded.
    """
    return raw_digest(raw_tensor("tensor", tensor))


def state_digest(digests: Mapping[str, bytes]) -> str:
    """Return the digest of a state, in hex, from those of its tensors by name, in any order."""
    digest = xxhash.xxh3_128()
    for name in sorted(digests):
        text = name.encode()
        digest.update(len(text).to_bytes(4, "little") + text + digests[name])
    return digest.hexdigest()
