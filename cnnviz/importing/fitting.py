"""Finding a network's weights among the tensors of a checkpoint, whatever stands before their names."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cnnviz.errors import ModelError
from cnnviz.importing.unwrapping import plain_names
from cnnviz.recording.differing import shape_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from torch import Tensor

Shape = tuple[int, ...]

# Of several networks in one file, which is meant.
_USUAL = ("", "model.", "net.", "network.", "module.", "backbone.", "encoder.")
_MOST_NAMED = 4


class MisfitError(ModelError):
    """The weights of one file are others than those of the network, or of the files before it."""


class Fit(NamedTuple):
    """How a checkpoint's names become those of the network.

    Attributes:
        names: Name in the network to name in the file.
        taken_off: What stood before the names.
        left_out: Names in the file that are none of the network's.
    """

    names: dict[str, str]
    taken_off: tuple[str, ...]
    left_out: tuple[str, ...] = ()


def fit_names(tensors: Iterable[str], expected: Iterable[str] | None, where: str) -> Fit:
    """Return which tensors are the network's.

    Args:
        tensors: The names in the file.
        expected: The names of the network's parameters and buffers; None takes all that there are.
        where: What messages call the file.

    Raises:
        MisfitError: If some are absent; the message names layers.
    """
    given = list(tensors)
    plain, taken = plain_names(given)
    if expected is None:
        return Fit(plain, taken)
    wanted = list(expected)
    if set(wanted) == set(given):  # a network may itself have a part that is called "module"
        return Fit({name: name for name in wanted}, ())
    prefix = _prefix(plain, wanted)
    if prefix is None or (prefix == "" and len(plain) > len(wanted)):
        raise MisfitError(_mismatch(plain, wanted, where))
    inside = [name for name in plain if name.startswith(prefix)]
    if len(inside) > len(wanted):
        raise MisfitError(_mismatch([name.removeprefix(prefix) for name in inside], wanted, where))
    left_out = tuple(name for name in plain if not name.startswith(prefix))
    names = {name: plain[prefix + name] for name in wanted}
    return Fit(names, (*taken, prefix) if prefix else taken, left_out)


def check_shapes(
    found: Mapping[str, Tensor], expected: Mapping[str, Shape | None], where: str, whose: str
) -> None:
    """Raise unless all tensors have the shapes that are expected; None takes any.

    Raises:
        MisfitError: If some differ; the message names them.
    """
    wrong = [
        f"{name} is {shape_text(found[name].shape)}, not {shape_text(shape)}"
        for name, shape in expected.items()
        if shape is not None and tuple(found[name].shape) != shape
    ]
    if wrong:
        raise MisfitError(f"the weights of {where} don't fit {whose}: {_listed(wrong, '; ')}")


def _prefix(names: Mapping[str, str], wanted: list[str]) -> str | None:
    """Return what stands before all the wanted names; None if they aren't all there."""
    first = max(wanted, key=len, default="")
    before = {name.removesuffix(first) for name in names if name.endswith(first)}
    whole = [p for p in before if (not p or p.endswith(".")) and all(p + name in names for name in wanted)]
    usual = [p for p in _USUAL if p in whole]
    return next(iter(usual or sorted(whole, key=lambda p: (len(p), p))), None)


def _mismatch(names: Iterable[str], wanted: list[str], where: str) -> str:
    there, asked = set(names), set(wanted)
    absent = [name for name in wanted if name not in there]
    more = [name for name in names if name not in asked]
    parts = []
    if absent:
        parts.append(f"it lacks {_listed(absent)}")
    if more:
        parts.append(f"it has {_listed(more)}, which the network lacks")
    return f"the weights of {where} are not this network's: {' and '.join(parts)}; is it of another one?"


def _listed(texts: list[str], between: str = ", ") -> str:
    more = f" and {len(texts) - _MOST_NAMED} more" if len(texts) > _MOST_NAMED else ""
    return between.join(texts[:_MOST_NAMED]) + more
