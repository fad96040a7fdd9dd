"""Why a file of torch.save is not read, and the way out, in words."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from pathlib import Path

# What training scripts like to save beside the weights: settings, paths, numbers of numpy. None of it is loaded either;
# where a file names nothing else, most likely its weights lie in a dictionary.
_COMMON = re.compile(
    r"pathlib(\._local)?\.\w*Path|argparse\.Namespace|types\.SimpleNamespace|collections\.\w+|datetime\.\w+"
    r"|numpy\.(dtype|ndarray)|numpy\.dtypes\.\w+|numpy\.(_core|core)\.multiarray\.(scalar|_reconstruct)"
    r"|omegaconf\.[\w.]+"
)
_NAME = re.compile(r"[\w.]{1,80}")  # a file may name anything, also what would rule a terminal
_STRANGE = "something of a strange name"
_MOST_NAMED = 4
_EARLY = ("failed finding central directory", "unexpected EOF", "Ran out of input")

_NEVER = "cnnviz never executes what a file holds"
_TRUST = "such a file may be an attack: only if you trust whoever made it, load it and save its weights alone"
_SAVE = "torch.save(model.state_dict(), 'weights.pt')"


def refusal(path: Path, error: Exception) -> str:
    """Return why `torch.load` refused a file.

    Args:
        path: The file.
        error: What it raised.
    """
    message = str(error)
    if "TorchScript" in message:
        return f"{path} is a TorchScript program, and {_NEVER}; {_TRUST}: {_SAVE}"
    if "weights_only" in message or "weights only" in message.lower():
        return _of_objects(path, _named(path, message))
    if path.stat().st_size == 0:
        return f"{path} can't be read: it is empty"
    if isinstance(error, EOFError) or any(words in message for words in _EARLY):
        return (
            f"{path} can't be read; it is damaged: it ends too early, as if not copied or written to its end"
        )
    reason = f"{type(error).__name__}: {message}".partition(". ")[0]
    return f"{path} can't be read; it is damaged, or not a file of torch.save: {reason}"


def _of_objects(path: Path, names: list[str]) -> str:
    listed = ", ".join(names[:_MOST_NAMED])
    if len(names) > _MOST_NAMED:
        listed += f" and {len(names) - _MOST_NAMED} more"
    if not names:
        return f"{path} is damaged, or holds code or objects beside weights, and {_NEVER}; {_TRUST}: {_SAVE}"
    save = _SAVE
    if all(_COMMON.fullmatch(name) for name in names):
        save = (
            f"torch.save(torch.load({path.name!r}, weights_only=False)['state_dict'], 'weights.pt'), "
            "or the key that holds them there"
        )
    return f"{path} holds code or objects beside weights ({listed}), and {_NEVER}; {_TRUST}: {save}"


def _named(path: Path, message: str) -> list[str]:
    """Return the names of what the file would make; all of them, where PyTorch can tell without making anything."""
    names: list[str] = re.findall(r"GLOBAL ([\w.]+)", message)
    with suppress(Exception):  # not an archive, or made to raise anything
        names += torch.serialization.get_unsafe_globals_in_checkpoint(str(path))
    return sorted({name.rstrip(".") if _NAME.fullmatch(name) else _STRANGE for name in names})
