"""What the calls of a forward pass are named, as torchvision's feature extraction names them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Collection

# torch hands on `x / y` as Tensor.div and `x += y` as Tensor.add_; the graph of torch.fx names the operators. The
# methods of the same names can't be told from them.
_OPERATORS = {
    "div": "truediv",
    "div_": "truediv",
    "remainder": "mod",
    "remainder_": "mod",
    "add_": "add",
    "sub_": "sub",
    "mul_": "mul",
    "pow_": "pow",
    "floor_divide_": "floordiv",
    "positive": "pos",
}
_SPECIAL = {
    "get": "getattr",
    "rsub": "sub",
    "rdiv": "truediv",
    "rtruediv": "truediv",
    "rpow": "pow",
    "rfloordiv": "floordiv",
    "rmod": "mod",
    "rmatmul": "matmul",
}
_NUMBERED = re.compile(r"(.+)_([1-9][0-9]*)")

# These show the same numbers again, elsewhere, in another shape or as another type.
_NAMES = (
    "alias as_strided atleast_1d atleast_2d atleast_3d bfloat16 broadcast_tensors broadcast_to chunk "
    "clone contiguous copy cpu cuda detach diagonal double dsplit expand expand_as flatten float getattr "
    "getitem half hsplit movedim moveaxis narrow permute pin_memory pos ravel rename requires_grad "
    "reshape reshape_as resize resolve_conj resolve_neg select size split split_with_sizes squeeze "
    "swapaxes swapdims t tensor_split to transpose type type_as unbind unflatten unfold unsafe_chunk "
    "unsafe_split unsqueeze view view_as vsplit "
)
_REARRANGING = frozenset(_NAMES.split())
_FRESH = re.compile(r"new_.*|.*_like")  # zeros_like(x) and the like take only the shape


class CallNames:
    """Gives each call of a pass its name: of its place, and numbered from its second call on.

    A module that really has the name of such a numbered call keeps it; the call takes the next number.
    """

    def __init__(self, paths: Collection[str]) -> None:
        """Begin a pass of a network whose modules have these `paths`."""
        self._paths = frozenset(paths)
        self._ran: set[str] = set()
        self._next: dict[str, int] = {}

    def begin(self) -> None:
        """Begin another pass."""
        self._ran.clear()
        self._next.clear()

    def of_module(self, path: str) -> str:
        """Return the name of this call of the module at `path`."""
        if path in self._ran:
            return self._numbered(path)
        self._ran.add(path)
        return path

    def of_function(self, place: str) -> str:
        """Return the name of this call of a function; `place` is the path of its caller with the function's name."""
        if place in self._ran or place in self._paths:
            return self._numbered(place)
        self._ran.add(place)
        return place

    def _numbered(self, place: str) -> str:
        number = self._next.get(place, 1)
        while f"{place}_{number}" in self._paths:
            number += 1
        self._next[place] = number + 1
        return f"{place}_{number}"


def function_name(function: Any) -> str:
    """Return what torch.fx names the node of a function that a mode is handed: `x + y` and torch.add are "add"."""
    name = str(getattr(function, "__name__", type(function).__name__))
    if name.startswith("__") and name.endswith("__"):
        return _SPECIAL.get(name[2:-2], name[2:-2])
    if name in _OPERATORS and getattr(function, "__objclass__", None) is torch._C.TensorBase:
        return _OPERATORS[name]
    return re.sub(r"\W", "_", name)


def works_in_place(function: Any, kwargs: dict[str, Any]) -> bool:
    """Return whether the call writes its result over its first argument."""
    name = str(getattr(function, "__name__", ""))
    written = name.endswith("_") and not name.endswith("__")
    return bool(kwargs.get("inplace")) or name == "copy_" or (written and not rearranges(name))


def rearranges(name: str) -> bool:
    """Return whether the function of this name computes nothing new: it views, reshapes, copies or converts."""
    bare = name.rstrip("_")
    return bare in _REARRANGING or _FRESH.fullmatch(name) is not None


def is_function(name: str) -> bool:
    """Return whether torch, or a library that has added operators to it, knows a function of this name."""
    if name in _OPERATORS.values() or name in _SPECIAL.values() or name == "getitem":
        return True
    if any(hasattr(owner, name) for owner in (functional, torch.Tensor, torch, torch.ops.aten)):
        return True
    return any(hasattr(getattr(torch.ops, space), name) for space in torch.ops)


def without_number(name: str) -> str:
    """Return the name of the first call: "relu" for "relu_1"."""
    match = _NUMBERED.fullmatch(name)
    return match[1] if match else name
