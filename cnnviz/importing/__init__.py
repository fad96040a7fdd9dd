"""Runs made of checkpoints that exist already: safetensors, torch.save, Lightning, Hugging Face, TensorBoard."""

from __future__ import annotations

from cnnviz.importing.importer import import_checkpoints
from cnnviz.importing.options import ImportOptions

__all__ = ["ImportOptions", "import_checkpoints"]
