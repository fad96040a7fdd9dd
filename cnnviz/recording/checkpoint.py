"""What a training needs to go on bit for bit: tensors and JSON in one safetensors file, never a pickle."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from cnnviz.errors import RunError
from cnnviz.recording.layout import Layout
from cnnviz.recording.tensors import read_metadata, read_tensors, write_tensors

if TYPE_CHECKING:
    from collections.abc import Mapping
    from os import PathLike

    from torch import Tensor

_KEY = "cnnviz"


def write_checkpoint(
    run: str | PathLike[str],
    tensors: Mapping[str, Tensor],
    facts: Mapping[str, Any],
    *,
    durable: bool = False,
) -> None:
    """Replace the checkpoint of the run at `run`.

    Args:
        run: The run's folder.
        tensors: Weights, optimizer state, random state.
        facts: What JSON can hold: the step, counters.
        durable: Whether to force it to the disk.
    """
    text = json.dumps(dict(facts))
    write_tensors(Layout(run).checkpoint, tensors, metadata={_KEY: text}, durable=durable)


def read_checkpoint(run: str | PathLike[str]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors and facts of the checkpoint of the run at `run`.

    Raises:
        RunError: If there is none, or it is damaged.
    """
    path = Layout(run).checkpoint
    if not os.path.lexists(path):
        raise RunError(f"{run} holds no checkpoint to go on from; train a new run instead")
    try:
        facts = json.loads(read_metadata(path)[_KEY])
        if not isinstance(facts, dict):
            raise TypeError(f"{type(facts).__name__} instead of an object")
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise RunError(f"{path} is damaged: {error!r}") from error
    return read_tensors(path), facts
