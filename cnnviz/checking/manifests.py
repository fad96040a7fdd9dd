"""Making run.json anew from what can be read of a damaged one, and from the snapshots."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cnnviz.errors import RunError
from cnnviz.recording.manifest import Description, Layer, Manifest, manifest_of, new_id, write_manifest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from cnnviz.recording.layout import Layout

_BUFFERS = ("running_mean", "running_var", "num_batches_tracked")
_KINDS = {2: "Linear", 3: "Conv1d", 4: "Conv2d", 5: "Conv3d"}
_MOST_BYTES = 1 << 26


def rebuild_manifest(layout: Layout, state: Mapping[str, Tensor]) -> list[str]:
    """Write run.json anew, and return the names of what could be read of the old one.

    Args:
        layout: The run.
        state: The tensors of one of its snapshots; none if there is none.

    Raises:
        OSError: If it can't be written.
    """
    text = _old_text(layout)
    content = json.loads(json.dumps(asdict(_guess(layout, state))))
    start = text.find('"description":')
    inner = text[start + len('"description":') :] if start >= 0 else ""
    names = [name for name in content if _put(content, name, text)]
    if "description" not in names:
        names += [name for name in content["description"] if _put(content, name, inner, "description")]
    if "layers" in names and "layers_from" not in names:
        content["layers_from"] = "unknown"
    write_manifest(layout.manifest, manifest_of(content, layout.manifest), durable=True)
    return names


def _guess(layout: Layout, state: Mapping[str, Tensor]) -> Manifest:
    """Return what the snapshots tell: layers by the names of tensors, their kinds by the shapes."""
    weights = {name: tensor for name, tensor in state.items() if not name.endswith(_BUFFERS)}
    layers = {name.rpartition(".")[0]: "" for name in state if "." in name}
    return Manifest(
        id=new_id(),
        created=_oldest(layout),
        class_name="unknown",
        parameters=sum(tensor.numel() for tensor in weights.values()),
        layers=tuple(Layer(name, _kind(name, state)) for name in layers),
        layers_from="tensor names",
        shapes={},
        software={},
        description=Description(),
    )


def _kind(layer: str, state: Mapping[str, Tensor]) -> str:
    weight = state.get(f"{layer}.weight")
    if f"{layer}.running_mean" in state:
        return "BatchNorm"
    return _KINDS.get(weight.ndim, "Module") if weight is not None else "Module"


def _oldest(layout: Layout) -> str:
    """Return the time of the oldest file, ISO 8601 in UTC: nothing in the run was written before it began."""
    files = [path for path in layout.root.rglob("*") if path.is_file() and not path.is_symlink()]
    files = [path for path in files if layout.linked not in path.parents]  # those may be much older
    moment = min((path.stat().st_mtime for path in files), default=layout.root.stat().st_mtime)
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds")


def _old_text(layout: Layout) -> str:
    path = layout.manifest
    if path.is_symlink() or not path.is_file() or path.stat().st_size > _MOST_BYTES:
        return ""
    return path.read_bytes().decode("utf-8", "replace")


def _put(content: dict[str, Any], name: str, text: str, inside: str = "") -> bool:
    """Put the value that `text` gives `name` into `content`; say whether there is one that fits."""
    found = re.search(rf'"{name}":\s*', text)
    if found is None or name == "format":
        return False
    try:
        value, _ = json.JSONDecoder().raw_decode(text, found.end())
        changed = content | ({inside: content[inside] | {name: value}} if inside else {name: value})
        manifest_of(changed, "run.json")
        json.dumps(changed, allow_nan=False)
    except (ValueError, RunError, RecursionError):
        return False
    content.update(changed)
    return True
