"""Checkpoint folders of the Hugging Face Trainer: weights, and what was logged on the way."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cnnviz.errors import DataError
from cnnviz.importing.checkpoint import Weights, counters_among

if TYPE_CHECKING:
    from pathlib import Path

    from cnnviz.importing.checkpoint import Checkpoint

STATE = "trainer_state.json"
# Their names here; all others stay as they are.
_NAMES = {"loss": "train/loss"}
_VALIDATION = ("eval_", "validation/")
_NO_METRICS = ("step", "epoch")


@dataclass(frozen=True)
class TrainerFolder:
    """One state in a folder of its own, such as `checkpoint-500`."""

    path: Path
    weights: Checkpoint

    @property
    def stem(self) -> str:
        """The folder's name."""
        return self.path.name

    @property
    def files(self) -> tuple[Path, ...]:
        """Where the tensors lie."""
        return self.weights.files

    @property
    def linkable(self) -> bool:
        """Whether they are safetensors."""
        return self.weights.linkable

    def counters(self) -> dict[str, int]:
        """Return what the trainer's state tells, else the weights; see `Checkpoint`."""
        state = self.path / STATE
        told = counters_among(_read(state)) if state.is_file() else {}
        return {"global_step": told["global_step"]} if "global_step" in told else self.weights.counters()

    def read(self) -> Weights:
        """Return the tensors; see `Checkpoint`."""
        return self.weights.read()


def logged_metrics(state: Path) -> dict[int, dict[str, float]]:
    """Return what the Trainer logged, step to metrics: `loss` as `train/loss`, `eval_loss` as `validation/loss`.

    Args:
        state: A trainer_state.json.

    Raises:
        DataError: If it can't be read.
    """
    history = _read(state).get("log_history", [])
    found: dict[int, dict[str, float]] = {}
    for entry in history if isinstance(history, list) else []:
        step = counters_among(entry).get("step") if isinstance(entry, dict) else None
        if step is None:
            continue
        for key, value in entry.items():
            if key not in _NO_METRICS and isinstance(value, int | float) and not isinstance(value, bool):
                found.setdefault(step, {})[_name(key)] = float(value)
    return found


def _name(key: str) -> str:
    before, after = _VALIDATION
    return after + key.removeprefix(before) if key.startswith(before) else _NAMES.get(key, key)


def _read(state: Path) -> dict[str, Any]:
    try:
        content = json.loads(state.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{state} can't be read: {error}") from error
    if not isinstance(content, dict):
        raise DataError(f"{state} is not the state of a Trainer")
    return content
