"""What the root of an archive tells: the run's manifest and state, and which arrays there are."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from cnnviz.archive.columns import Column, read_column
from cnnviz.errors import RunError
from cnnviz.recording.manifest import manifest_of
from cnnviz.recording.store import Missing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cnnviz.archive.places import Place
    from cnnviz.recording.manifest import Manifest

FORMAT = 1
"""The version of the archive's layout; a reader refuses one of a later."""

ROOT = "zarr.json"
ATTRIBUTE = "cnnviz"
_MOST_BYTES = 256 * 2**20


@dataclass(frozen=True)
class Header:
    """What an archive says of itself.

    Attributes:
        manifest: The run's manifest.
        state: How the run stands.
        missing: What could not be written while it was recorded.
        snapshots: How many snapshots there are.
        tensors: The tensors; that of number n lies in the array state/n, if it is not empty.
        metrics: Where a metric lies in metrics/steps and metrics/values: its first row, and that behind its last.
        samples: How many samples there are.
        examples: How many passes over how many examples there are.
    """

    manifest: Manifest
    state: Mapping[str, str]
    missing: Missing
    snapshots: int
    tensors: tuple[Column, ...]
    metrics: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    samples: int = 0
    examples: tuple[int, int] = (0, 0)

    @property
    def measured(self) -> int:
        """How many rows the metrics have together."""
        return max((stop for _, stop in self.metrics.values()), default=0)

    def to_json(self) -> dict[str, Any]:
        """Return the attributes of the root."""
        content = {
            "archive": FORMAT,
            "manifest": asdict(self.manifest),
            "state": dict(self.state),
            "missing": {"spans": self.missing.spans, "reason": self.missing.reason},
            "snapshots": self.snapshots,
            "tensors": [column.to_json() for column in self.tensors],
            "metrics": dict(self.metrics),
            "samples": self.samples,
            "examples": self.examples,
        }
        return {ATTRIBUTE: json.loads(json.dumps(content))}


def read_root(place: Place) -> Any:
    """Return what an archive's root says, parsed; None if there is none.

    Raises:
        RunError: If it can't be read.
    """
    size = place.size(ROOT)
    if size is None:
        return None
    where = f"{place.location}/{ROOT}"
    if size > _MOST_BYTES:
        raise RunError(f"{where} is damaged: it takes {size:,} bytes")
    try:
        root = json.loads(place.read(ROOT, [(0, size)])[0])
        return root["attributes"].get(ATTRIBUTE)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise RunError(f"{where} is damaged: {error!r}") from error


def read_header(place: Place) -> Header:
    """Return what the root of the archive at `place` tells.

    Raises:
        RunError: If there is none, or it is damaged or of a later format.
    """
    content, where = read_root(place), f"{place.location}/{ROOT}"
    if content is None:
        raise RunError(f"{place.location} is not a packed run: it has no {ROOT} of cnnviz")
    try:
        if content["archive"] > FORMAT:
            raise RunError(
                f"{place.location} was packed in format {content['archive']}, but this cnnviz reads formats up to "
                f"{FORMAT}: install a newer cnnviz"
            )
        return _header(content, where)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RunError(f"{where} is damaged: {error!r}") from error


def _header(content: dict[str, Any], where: str) -> Header:
    snapshots = _count(content["snapshots"])
    missing = content["missing"]
    columns = tuple(read_column(column, snapshots, where) for column in content["tensors"])
    if len({column.name for column in columns}) != len(columns):
        raise ValueError("two tensors of one name")
    passes, examples = content["examples"]
    metrics = {str(name): (_count(a), _count(b)) for name, (a, b) in content["metrics"].items()}
    return Header(
        manifest=manifest_of(content["manifest"], where),
        state={str(key): str(value) for key, value in content["state"].items()},
        missing=Missing(
            tuple((int(a), int(b), int(n)) for a, b, n in missing["spans"]), str(missing["reason"])
        ),
        snapshots=snapshots,
        tensors=columns,
        metrics=metrics,
        samples=_count(content["samples"]),
        examples=(_count(passes), _count(examples)),
    )


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**48:
        raise ValueError(f"{value!r} is no number of things")
    return value
