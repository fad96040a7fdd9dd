"""What a training is to do: frozen, and validated once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from cnnviz.errors import ConfigError
from cnnviz.recording.schedule import within
from cnnviz.recording.schedule_text import parse_schedule

_COUNTS = ("epochs", "batch_size", "every", "seed", "samples", "image_size")
_NAMES = ("model", "data", "optimizer", "device", "snapshots", "within")
_MAY_BE_ABSENT = ("image_size", "snapshots", "within")
OPTIMIZERS = ("adam", "adamw", "rmsprop", "sgd")


@dataclass(frozen=True)
class TrainConfig:
    """The options of a training; the defaults are the notebook's recipe.

    Attributes:
        model: The name of the network, or `package.module:factory`.
        model_arguments: Its own arguments, such as {"depth": (8, 16)}.
        data: The name of the data set, `folder:PATH`, or `package.module:factory`.
        data_root: The folder that holds data sets, or into which they are downloaded.
        image_size: Height and width to which images are resized, in pixels; None leaves them.
        epochs: Passes over the training set.
        lr: Learning rate.
        momentum: Momentum of sgd and rmsprop; the others ignore it.
        weight_decay: L2 penalty (decoupled in adamw).
        batch_size: Images in a batch.
        optimizer: One of adam, adamw, rmsprop, sgd.
        every: Record after every so many batches of an epoch, and at its end.
        snapshots: When to keep the weights, a schedule such as "log_spaced(10) | epochs(1)"; None keeps them with
            every record. The first and the last are kept always.
        within: Keep the run within a size, such as "500 MB", by thinning out old snapshots; None keeps all.
        seed: Seeds weights, order and dropout.
        device: auto, cpu, cuda, cuda:N or mps.
        samples: How many validation images travel with the run.
    """

    model: str = "convnet"
    model_arguments: Mapping[str, Any] = field(default_factory=dict)
    data: str = "mnist"
    data_root: str = "data"
    image_size: int | None = None
    epochs: int = 20
    lr: float = 0.001
    momentum: float = 0.9
    weight_decay: float = 0.0
    batch_size: int = 64
    optimizer: str = "sgd"
    every: int = 100
    snapshots: str | None = None
    within: str | None = None
    seed: int = 0
    device: str = "auto"
    samples: int = 100

    def __post_init__(self) -> None:
        self._check_types()
        for name in ("epochs", "batch_size", "every"):
            _require(getattr(self, name) >= 1, name, getattr(self, name), "1 or more")
        for name in ("lr", "weight_decay"):
            value = getattr(self, name)
            _require(math.isfinite(value) and value >= 0, name, value, "0 or more")
        _require(0 <= self.momentum < 1, "momentum", self.momentum, "from 0 to below 1")
        _require(0 <= self.seed < 2**63, "seed", self.seed, "0 or more")
        _require(self.samples >= 0, "samples", self.samples, "0 or more")
        _require(self.image_size is None or self.image_size >= 1, "image_size", self.image_size, "1 or more")
        if self.snapshots is not None:
            parse_schedule(self.snapshots)  # says itself what is wrong with it
        if self.within is not None:
            within(self.within)
        _require(self.optimizer in OPTIMIZERS, "optimizer", self.optimizer, f"one of {', '.join(OPTIMIZERS)}")

    def _check_types(self) -> None:
        for names, kind, wanted in (
            (_COUNTS, int, "a whole number"),
            (("lr", "momentum", "weight_decay"), (int, float), "a number"),
            (_NAMES, str, "a name"),
            (("model_arguments",), Mapping, "a mapping of names to values"),
        ):
            for name in names:
                value = getattr(self, name)
                absent = name in _MAY_BE_ABSENT and value is None
                _require(absent or isinstance(value, kind), name, repr(value), wanted)

    def to_json(self) -> dict[str, Any]:
        """Return the options as JSON can hold them."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> TrainConfig:
        """Return the options that `to_json` gave; unknown ones are an error.

        Raises:
            ConfigError: If there is an option that this cnnviz doesn't know, or a value of a wrong type.
        """
        unknown = sorted(set(content) - {option.name for option in fields(cls)})
        if unknown:
            raise ConfigError(
                f"the run was trained with options that this cnnviz doesn't know: {', '.join(unknown)}"
            )
        try:
            return cls(**content)
        except TypeError as error:
            raise ConfigError(f"the run's options can't be used: {error}") from error


def _require(holds: bool, name: str, value: object, wanted: str) -> None:
    if not holds:
        raise ConfigError(f"{name.replace('_', '-')} must be {wanted}, not {value}")
