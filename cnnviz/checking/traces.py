"""What a run's other files tell of it where its run.json is lost."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cnnviz.errors import RunError
from cnnviz.recording.manifest import Description, Layer, Manifest, new_id
from cnnviz.recording.samples import describe_stored, read_samples

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from cnnviz.recording.layout import Layout
    from cnnviz.recording.manifest import KeptSamples

UNKNOWN = "unknown"
"""What a network's class is called where nothing tells it."""

_BUFFERS = ("running_mean", "running_var", "num_batches_tracked")
_KINDS = {2: "Linear", 3: "Conv1d", 4: "Conv2d", 5: "Conv3d"}


def manifest_from_files(layout: Layout, state: Mapping[str, Tensor]) -> Manifest:
    """Return what the files tell of a run: layers by the names of tensors, their kinds by the shapes."""
    weights = {name: tensor for name, tensor in state.items() if not name.endswith(_BUFFERS)}
    layers = {name.rpartition(".")[0]: "" for name in state if "." in name}
    return Manifest(
        id=new_id(),
        created=_oldest(layout),
        class_name=UNKNOWN,
        parameters=sum(tensor.numel() for tensor in weights.values()),
        layers=tuple(Layer(name, _kind(name, state)) for name in layers),
        layers_from="tensor names",
        shapes={},
        software={},
        description=Description(),
        samples=_samples(layout),
    )


def _samples(layout: Layout) -> KeptSamples | None:
    """Return what there is to tell of the samples that lie there."""
    try:
        return describe_stored(layout.samples)
    except RunError:
        return None


def image_size(layout: Layout) -> int | None:
    """Return height and width of the samples, if they are there and square."""
    try:
        images = read_samples(layout.samples).images
    except RunError:
        return None
    return images.shape[3] if len(images) and images.shape[2] == images.shape[3] else None


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
