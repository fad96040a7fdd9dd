"""What every kind of checkpoint can tell of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

COUNTERS = ("global_step", "step", "iteration", "iter", "epoch")
"""What a checkpoint may call the number of its step, the surest first."""

_LATEST = 2**63


class Weights(NamedTuple):
    """The tensors of one network, on the CPU, under the names that the file gives them.

    Attributes:
        tensors: Parameters and buffers by name, in the order of the network where the file keeps it.
        levels: The keys that had to be opened to reach them, such as ("state_dict",).
        homes: Of safetensors, the name of each tensor to the number of its file.
    """

    tensors: dict[str, Tensor]
    levels: tuple[str, ...] = ()
    homes: Mapping[str, int] = {}


class Checkpoint(Protocol):
    """One state of a network on the disk, in one file or several."""

    @property
    def path(self) -> Path:
        """What a user calls it: its file, or its folder."""
        ...

    @property
    def stem(self) -> str:
        """Its name without what every file of its kind ends in."""
        ...

    @property
    def files(self) -> tuple[Path, ...]:
        """Where the tensors lie."""
        ...

    @property
    def linkable(self) -> bool:
        """Whether its files are safetensors, which a run can hold as they are."""
        ...

    def counters(self) -> dict[str, int]:
        """Return those of `COUNTERS` that its contents tell.

        Raises:
            DataError: If it can't be read.
        """
        ...

    def read(self) -> Weights:
        """Return its tensors.

        Raises:
            DataError: If it can't be read, or holds no weights.
        """
        ...


def counters_among(facts: Mapping[Any, Any]) -> dict[str, int]:
    """Return those of `COUNTERS` among `facts` that are whole numbers from 0, also where written as text."""
    found = {}
    for name in COUNTERS:
        number = _whole(facts.get(name))
        if number is not None:
            found[name] = number
    return found


def _whole(value: object) -> int | None:
    """Return a whole number from 0; of a tensor or text its value, of anything else None."""
    from torch import Tensor

    if isinstance(value, Tensor) and value.numel() == 1:
        value = value.item()
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if type(value) is int and 0 <= value < _LATEST else None
