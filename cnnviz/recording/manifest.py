"""The manifest of a run, run.json: what was trained, on what, how, and with which software."""

from __future__ import annotations

import json
import platform
import uuid
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, NamedTuple

from cnnviz.errors import ConfigError, RunError
from cnnviz.recording.layout import FORMAT, write_whole

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_SOFTWARE = ("cnnviz", "torch", "torchvision", "numpy", "safetensors")


class Layer(NamedTuple):
    """A layer of the network: its name in the module tree and its kind, the class's name."""

    name: str
    kind: str


@dataclass(frozen=True)
class Description:
    """What a training loop can say of a run before it starts.

    Attributes:
        model: The registry name of the network, or None for a class that only its user can name.
        arguments: What the registry's factory was called with.
        data: The name of the data set.
        classes: The names of the classes, in the order of the network's outputs.
        config: Options of the training, as JSON can hold them.
        seed: The seed of the training.
    """

    model: str | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    data: str | None = None
    classes: tuple[str, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None


@dataclass(frozen=True)
class Manifest:
    """What run.json holds.

    Attributes:
        id: A name for this one recording, unlike any other.
        created: When it began, ISO 8601 in UTC.
        class_name: The class of the network, for people; it is never imported from here.
        parameters: How many parameters the network has.
        layers: Layers in the order in which they run.
        shapes: Layer name to the shape of its output for one image, where known.
        software: Package name to version.
        format: The version of the layout.
        description: What the training loop said.
    """

    id: str
    created: str
    class_name: str
    parameters: int
    layers: tuple[Layer, ...]
    shapes: Mapping[str, tuple[int, ...]]
    software: Mapping[str, str]
    description: Description
    format: int = FORMAT

    @property
    def network(self) -> str:
        """The name of the network, as its user knows it."""
        return self.description.model or self.class_name


def software_versions() -> dict[str, str]:
    """Return the versions of what the training runs on."""
    versions = {"python": platform.python_version(), "platform": platform.platform(terse=True)}
    for name in _SOFTWARE:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def new_id() -> str:
    """Return a name for a recording, unlike any other; the random state of the training is not touched."""
    return uuid.uuid4().hex


def now() -> str:
    """Return the time, ISO 8601 in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def write_manifest(path: Path, manifest: Manifest, *, durable: bool) -> None:
    """Write run.json.

    Raises:
        ConfigError: If the description holds something that JSON can't hold.
    """
    try:
        text = json.dumps(asdict(manifest), indent=2)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"the description of a run must be what JSON can hold: {error}") from error
    write_whole(path, [f"{text}\n".encode()], durable=durable)


def read_manifest(path: Path) -> Manifest:
    """Return what a run.json holds.

    Raises:
        RunError: If it is absent or damaged, or of a later format than this cnnviz knows.
    """
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise RunError(f"{path.parent} is not a run: it has no {path.name}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{path} can't be read: {error}") from error
    try:
        if int(content["format"]) > FORMAT:
            raise RunError(
                f"{path.parent} was written in format {content['format']}, but this cnnviz reads formats up to "
                f"{FORMAT}: install a newer cnnviz"
            )
        return _from_json(content)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise RunError(f"{path} is damaged: {error!r}") from error


def _from_json(content: dict[str, Any]) -> Manifest:
    description = dict(content["description"])
    description["classes"] = tuple(str(name) for name in description["classes"])
    if not isinstance(description["arguments"], dict) or not isinstance(description["config"], dict):
        raise TypeError("arguments and config are objects")
    if not all(isinstance(description[key], str | None) for key in ("model", "data")):
        raise TypeError("model and data are names")
    return Manifest(
        id=str(content["id"]),
        created=str(datetime.fromisoformat(content["created"]).isoformat()),
        class_name=str(content["class_name"]),
        parameters=int(content["parameters"]),
        layers=tuple(Layer(str(name), str(kind)) for name, kind in content["layers"]),
        shapes={str(name): tuple(int(n) for n in shape) for name, shape in content["shapes"].items()},
        software={str(name): str(value) for name, value in content["software"].items()},
        description=Description(**description),
        format=int(content["format"]),
    )
