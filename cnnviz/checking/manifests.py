"""Making run.json anew from what can be read of a damaged one, and from the snapshots and samples."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from cnnviz.checking.traces import UNKNOWN, image_size, manifest_from_files
from cnnviz.errors import RunError
from cnnviz.recording.manifest import Manifest, manifest_of, write_manifest

if TYPE_CHECKING:
    from torch import Tensor

    from cnnviz.recording.layout import Layout

Guess = Callable[[Mapping[str, "Tensor"], "int | None"], Manifest | None]
"""Says what network weights are of, which see images of so many pixels in height and width, if that is known."""

_MOST_BYTES = 1 << 26
_MOST_TRIED = 100
_LOST = {
    "data": "the name of the data set",
    "classes": "the names of the classes",
    "config": "the options of the training",
    "seed": "its seed",
}
# What a network says of itself, if the old run.json doesn't.
_OF_NETWORK = ("class_name", "parameters", "layers", "layers_from", "shapes")


class Rebuilt(NamedTuple):
    """What the new run.json is made of.

    Attributes:
        names: The names of what could be read of the old one.
        network: The name of the network that the weights were found to be of; "" if they tell none.
    """

    names: list[str]
    network: str

    def actions(self, made: str, layout: Layout) -> list[str]:
        """Say what was made, what is lost, and what to do without a network."""
        read = ", ".join(self.names)
        told = f"of the old one {read} could be read" if read else "nothing of the old one could be read"
        found = [f"{made}; {told}"]
        lost = (
            [] if "description" in self.names else [_LOST[name] for name in _LOST if name not in self.names]
        )
        if lost:
            found.append(f"Lost with the old {layout.manifest.name}: {', '.join(lost)}")
        if self.network:
            found.append(f"Named its network {self.network}, as its weights are of that one")
        elif not {"model", "description"} & set(self.names):
            found.append(
                "What network it is of is lost, too: where a picture needs it, give it with --model NAME, or "
                f"--model package.module:factory, as in cnnviz plot feature_maps {layout.root} --model NAME"
            )
        return found


def rebuild_manifest(layout: Layout, state: Mapping[str, Tensor], guess: Guess) -> Rebuilt:
    """Write run.json anew.

    Args:
        layout: The run.
        state: The tensors of one of its snapshots; none if there is none.
        guess: Is asked for the network, where the old run.json does not name it.

    Raises:
        OSError: If it can't be written.
    """
    text = _old_text(layout)
    content = json.loads(json.dumps(asdict(manifest_from_files(layout, state))))
    start = text.find('"description":')
    inner = text[start + len('"description":') :] if start >= 0 else ""
    names = [name for name in content if _put(content, name, text)]
    if "description" not in names:
        names += [name for name in content["description"] if _put(content, name, inner, "description")]
    if "layers" in names and "layers_from" not in names:
        content["layers_from"] = UNKNOWN
    told = {"model", "description"} & set(names)
    network = None if told else guess(state, image_size(layout))
    if network is not None and content["class_name"] in (UNKNOWN, network.class_name):
        of_network = json.loads(json.dumps(asdict(network)))
        content |= {name: of_network[name] for name in _OF_NETWORK if name not in names}
        content["description"] |= {name: of_network["description"][name] for name in ("model", "arguments")}
    else:
        network = None
    write_manifest(layout.manifest, manifest_of(content, layout.manifest), durable=True)
    return Rebuilt(names, network.network if network is not None else "")


def _old_text(layout: Layout) -> str:
    path = layout.manifest
    if path.is_symlink() or not path.is_file() or path.stat().st_size > _MOST_BYTES:
        return ""
    return path.read_bytes().decode("utf-8", "replace")


def _put(content: dict[str, Any], name: str, text: str, inside: str = "") -> bool:
    """Put the value that `text` gives `name` into `content`; say whether there is one that fits."""
    for found in islice(re.finditer(rf'"{name}":\s*', text), _MOST_TRIED if name != "format" else 0):
        try:
            value, _ = json.JSONDecoder().raw_decode(text, found.end())
            changed = content | ({inside: content[inside] | {name: value}} if inside else {name: value})
            manifest_of(changed, "run.json")
            json.dumps(changed, allow_nan=False)
        except (ValueError, RunError, RecursionError):  # an option may have the same name
            continue
        content.update(changed)
        return True
    return False
