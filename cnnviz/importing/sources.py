"""Finding the checkpoints, and what was logged beside them, among files and folders."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from cnnviz.errors import ConfigError, DataError
from cnnviz.importing.damaged import Damaged
from cnnviz.importing.event_files import MARK
from cnnviz.importing.safetensors_files import SafetensorsCheckpoint
from cnnviz.importing.torch_files import TorchCheckpoint
from cnnviz.importing.trainer_folders import STATE, TrainerFolder
from cnnviz.recording.layout import is_run

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cnnviz.importing.checkpoint import Checkpoint

_KINDS: dict[str, type[SafetensorsCheckpoint] | type[TorchCheckpoint]] = {
    ".safetensors": SafetensorsCheckpoint,
    ".pt": TorchCheckpoint,
    ".pth": TorchCheckpoint,
    ".ckpt": TorchCheckpoint,
    ".bin": TorchCheckpoint,
}
_INDEX = ".index.json"
_SHARD = re.compile(r"(.+)-(\d{5})-of-(\d{5})")
# The weights in a folder of the Hugging Face libraries; of several the first.
_MODEL_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
# What trainers put beside the weights.
_BESIDE = re.compile(r"(optimizer|scheduler|scaler|rng_state|training_args|sampler|dl_state|random_states).*")


@dataclass
class Found:
    """What there is to import.

    Attributes:
        checkpoints: The states, in the order in which they were named or found.
        events: TensorBoard's event files.
        trainer_states: What Hugging Face's Trainer logged.
        left_out: What was found and is not imported, in words.
    """

    checkpoints: list[Checkpoint] = field(default_factory=list)
    events: list[Path] = field(default_factory=list)
    trainer_states: list[Path] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def find(paths: Sequence[Path], damaged: Damaged | None = None) -> Found:
    """Return what lies at `paths`; folders are searched, but for runs and hidden folders in them.

    Args:
        paths: Files and folders.
        damaged: What becomes of checkpoints that aren't whole; None raises.

    Raises:
        ConfigError: If a path is not there or no checkpoint, or there is none in all of them.
        DataError: If shards of a checkpoint are absent.
    """
    found = Found()
    damaged = damaged or Damaged(skip=False)
    damaged.several = len(paths) > 1 or paths[0].is_dir()
    for path in paths:
        if not path.exists():
            raise ConfigError(f"{path} is not there")
        if path.is_dir():
            _search(path, found, damaged)
        elif path.name.startswith(MARK):
            found.events.append(path)
        elif path.name == STATE:
            found.trainer_states.append(path)
        else:
            with damaged.tolerated():
                found.checkpoints.append(_one_file(path))
    found.checkpoints = _once(found.checkpoints)
    found.events = list(dict.fromkeys(found.events))
    if not found.checkpoints:
        if damaged.left_out:
            raise damaged.none_left()
        raise ConfigError(_nothing_there(paths, found))
    damaged.several = len(found.checkpoints) > 1
    return found


def _nothing_there(paths: Sequence[Path], found: Found) -> str:
    where = ", ".join(str(path) for path in paths)
    endings = ", ".join(_KINDS)
    if found.events or found.trainer_states:
        logged = "TensorBoard's scalars" if found.events else "what the Trainer logged"
        return (
            f"there is only {logged} in {where}, and a run needs the checkpoints beside it: name a checkpoint "
            f"(files that end in {endings}), or the folder that holds them, too"
        )
    return f"there is no checkpoint in {where}: files that end in {endings}, or folders that hold them"


def _search(folder: Path, found: Found, damaged: Damaged) -> None:
    if is_run(folder):
        raise ConfigError(f"{folder} is a run of cnnviz already; look at it: cnnviz dashboard {folder}")
    for root, folders, names in os.walk(folder):
        here = Path(root)
        folders[:] = sorted(n for n in folders if not n.startswith(".") and not is_run(here / n))
        found.events += [here / name for name in sorted(names) if name.startswith(MARK)]
        if STATE in names:
            found.trainer_states.append(here / STATE)
        model = next((name for name in _MODEL_FILES if name in names), None)
        if model is None:
            found.checkpoints += _files_of(here, names, damaged)
        elif any((here / name / STATE).is_file() for name in folders if name.startswith("checkpoint-")):
            # The Trainer's final model is the last checkpoint once more, or the best.
            found.left_out.append(f"{here / model}: taken are the checkpoints beside it")
        else:
            with damaged.tolerated():
                found.checkpoints.append(TrainerFolder(here, _one_file(here / model)))


def _files_of(folder: Path, names: Iterable[str], damaged: Damaged) -> list[Checkpoint]:
    """Return the checkpoints that are files of their own, and those in shards, once each."""
    chosen: list[Checkpoint] = []
    for name in sorted(names):
        path = folder / name
        beside = name.startswith(".") or _BESIDE.fullmatch(name) or path.suffix not in _KINDS
        if beside or (path.suffix == ".bin" and "model" not in name):  # .bin may be anything
            continue
        shard = _SHARD.fullmatch(path.stem)
        if shard is None or int(shard[2]) == 1:
            with damaged.tolerated():
                chosen.append(_one_file(path))
    return chosen


def _one_file(path: Path) -> Checkpoint:
    """Return the checkpoint that `path` is, or is the index or a shard of."""
    if path.name.endswith(_INDEX):
        whole = Path(path.name.removesuffix(_INDEX))
        return _of_files(path, whole.stem, _indexed(path))
    if path.suffix not in _KINDS:
        known = ", ".join([*_KINDS, _INDEX, f"{MARK}*"])
        raise ConfigError(f"{path} is no checkpoint that cnnviz knows; they end in {known}")
    if shard := _SHARD.fullmatch(path.stem):
        stem, count = shard[1], int(shard[3])
        names = [f"{stem}-{number:05d}-of-{count:05d}{path.suffix}" for number in range(1, count + 1)]
        return _of_files(path.with_name(names[0]), stem, [path.with_name(name) for name in names])
    return _of_files(path, path.stem, [path])


def _of_files(path: Path, stem: str, files: Sequence[Path]) -> Checkpoint:
    absent = [file for file in files if not file.is_file()]
    if absent:
        raise DataError(f"{path} is in {len(files)} parts, but {absent[0]} is not there")
    kind = _KINDS[files[0].suffix]
    return kind(path, stem, tuple(file.resolve() for file in files))


def _indexed(index: Path) -> list[Path]:
    """Return the shards that an index names; they lie beside it, and nowhere else."""
    try:
        names = sorted(set(json.loads(index.read_bytes())["weight_map"].values()))
    except (OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise DataError(f"{index} can't be read as an index of shards: {error!r}") from error
    wrong = [n for n in names if not isinstance(n, str) or Path(n).name != n or Path(n).suffix not in _KINDS]
    if wrong or not names:
        raise DataError(f"{index} names no shards beside it: {wrong[0] if wrong else 'none'!r}")
    return [index.with_name(name) for name in names]


def _once(checkpoints: Sequence[Checkpoint]) -> list[Checkpoint]:
    """Return each checkpoint once; a link such as last.ckpt is the file that it leads to."""
    kept: dict[tuple[Path, ...], Checkpoint] = {}
    for checkpoint in checkpoints:
        known = kept.get(checkpoint.files)
        if known is None or known.path.is_symlink():
            kept[checkpoint.files] = checkpoint
    return list(kept.values())
