"""The manifest of a run, run.json: what was trained, on what, how, and with which software."""

from __future__ import annotations

import json
import os
import platform
import re
import uuid
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, NamedTuple

from cnnviz.errors import ConfigError, RunError
from cnnviz.recording.layout import FORMAT, require_regular, write_whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

# No run needs more; what goes deeper can be parsed, but not be written or compared.
_MOST_LEVELS = 100
_MOST_AXES = 64

_DIGEST = re.compile("[0-9a-f]{32}")
_SOFTWARE = ("cnnviz", "torch", "torchvision", "numpy", "safetensors")


class Layer(NamedTuple):
    """A layer of the network: its name in the module tree and its kind, the class's name."""

    name: str
    kind: str


@dataclass(frozen=True)
class KeptSamples:
    """What run.json tells of the samples, so that they are missed where they are gone, or altered.

    Attributes:
        count: How many there are.
        digest: The digest of their images and labels, as `cnnviz.recording.digest` makes it of a state.
    """

    count: int
    digest: str


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
        layers_from: How they were found: by a "forward pass", or in the "module tree", where a network could not be
            run and what its forward calls as a function is not known; or the "names of weights".
        shapes: Layer name to the shape of its output for one image, where known.
        software: Package name to version.
        format: The version of the layout.
        description: What the training loop said.
        samples: The samples that travel with the run; None if there are none, or an older cnnviz wrote it.
    """

    id: str
    created: str
    class_name: str
    parameters: int
    layers: tuple[Layer, ...]
    shapes: Mapping[str, tuple[int, ...]]
    software: Mapping[str, str]
    description: Description
    layers_from: str = "forward pass"
    format: int = FORMAT
    samples: KeptSamples | None = None

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
        content = asdict(manifest)
        text = json.dumps(content, indent=2)
        _check_depth(content)
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigError(f"the description of a run must be what JSON can hold: {error}") from error
    write_whole(path, [f"{text}\n".encode()], durable=durable)


def read_manifest(path: Path) -> Manifest:
    """Return what a run.json holds.

    Raises:
        RunError: If it is absent or damaged, or of a later format than this cnnviz knows.
    """
    try:
        if not os.path.lexists(path):
            raise RunError(f"{path.parent} is not a run: it has no {path.name}")
        require_regular(path)
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{path} can't be read: {error}") from error
    return manifest_of(content, path)


def manifest_of(content: Any, path: object) -> Manifest:
    """Return the manifest that was parsed from `path`.

    Raises:
        RunError: If it is damaged, or of a later format than this cnnviz knows.
    """
    try:
        if int(content["format"]) > FORMAT:
            raise RunError(
                f"{path} was written in format {content['format']}, but this cnnviz reads formats up to "
                f"{FORMAT}: install a newer cnnviz"
            )
        _check_depth(content)
        # JSON can hold halves of characters, which nothing can show; names of files may have them.
        text = json.dumps(content, ensure_ascii=False).encode(errors="replace")
        return _from_json(json.loads(text))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise RunError(f"{path} is damaged: {error!r}") from error


def _from_json(content: dict[str, Any]) -> Manifest:
    description = dict(content["description"])
    description["classes"] = tuple(str(name) for name in description["classes"])
    if not isinstance(description["arguments"], dict) or not isinstance(description["config"], dict):
        raise TypeError("arguments and config are objects")
    if not all(isinstance(description[key], str | None) for key in ("model", "data")):
        raise TypeError("model and data are names")
    if not isinstance(description.get("seed"), int | None):
        raise TypeError("the seed is a whole number")
    return Manifest(
        id=str(content["id"]),
        created=str(datetime.fromisoformat(content["created"]).isoformat()),
        class_name=str(content["class_name"]),
        parameters=int(content["parameters"]),
        layers_from=str(content.get("layers_from", "forward pass")),
        layers=tuple(Layer(str(name), str(kind)) for name, kind in content["layers"]),
        shapes={str(name): _shape(shape) for name, shape in content["shapes"].items()},
        software={str(name): str(value) for name, value in content["software"].items()},
        description=Description(**description),
        format=int(content["format"]),
        samples=_kept(content.get("samples")),
    )


def _kept(content: Any) -> KeptSamples | None:
    if content is None:
        return None
    count, digest = content["count"], content["digest"]
    if type(count) is not int or count < 0 or not _DIGEST.fullmatch(digest):
        raise ValueError("samples are a count and a digest")
    return KeptSamples(count, digest)


def _shape(sizes: list[int]) -> tuple[int, ...]:
    shape = tuple(int(size) for size in sizes)
    if len(shape) > _MOST_AXES or not all(0 <= size < 2**63 for size in shape):
        raise ValueError("no tensor has such a shape")
    return shape


def _check_depth(content: object) -> None:
    """Raise ValueError if objects and lists are nested without measure."""
    level = [content]
    for _ in range(_MOST_LEVELS):
        level = [inner for value in level for inner in _inner(value)]
        if not level:
            return
    raise ValueError(f"it is nested more than {_MOST_LEVELS} levels deep")


def _inner(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list | tuple) else ()
