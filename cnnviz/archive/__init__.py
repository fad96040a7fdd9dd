"""The archive form of a run: one Zarr v3 store, in a folder or at an object store, read as the run is."""

from __future__ import annotations

from cnnviz.archive.opening import is_archive, open_archive
from cnnviz.archive.packing import pack

__all__ = ["is_archive", "open_archive", "pack"]
