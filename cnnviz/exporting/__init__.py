"""Taking a run out of cnnviz: its snapshots as plain files, its curves for TensorBoard."""

from __future__ import annotations

from cnnviz.exporting.export import FORMATS, export

__all__ = ["FORMATS", "export"]
