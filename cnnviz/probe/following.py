"""Following a forward pass: which modules and functions it calls, in which order, and by which names."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from cnnviz.probe.names import CallNames, function_name

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

# What these call is their own affair, as it is for torchvision's feature extraction.
_LEAVES = ("torch.nn", "torch.ao.nn", "torchvision.ops")


class _Call(NamedTuple):
    module: nn.Module
    prefix: str | None  # what the names of the functions that it calls begin with; None where they have none


class Following:
    """A context manager that follows the forward passes of a network; its subclasses say what to do with the calls.

    No hook stays behind, and no mode. A module that is called outside a pass of the whole network begins a pass.
    """

    def __init__(self, model: nn.Module, functions: bool, only: Collection[str] | None = None) -> None:
        """Prepare to follow the modules of `model`, or `only` those at some paths, and its `functions`.

        Without functions, and with few modules, a pass is hardly slower than one that nobody follows.
        """
        self._model = model
        self._functions = functions
        self._only = only
        self._paths = {module: path for path, module in model.named_modules()}
        self._names = CallNames(self._paths.values())
        self._calls: list[_Call] = []
        self._opened = ExitStack()

    def on_pass(self, whole: bool) -> None:
        """Act on the begin of a pass, be it of the `whole` network or of a part that is called by itself."""

    def on_module(self, name: str, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
        """Act on what a call of a module put out; return what the network is to go on with, None for the same."""

    def on_function(self, name: str, function: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
        """Call a function for the network, and return what it is to go on with."""
        return function(*args, **kwargs)

    def on_hidden(self, function: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
        """Call a function that has no name, because a module of torch.nn calls it, or nobody does."""
        return function(*args, **kwargs)

    def __enter__(self) -> Self:
        with ExitStack() as opening:
            if _has_compiled(self._model):  # compiled code would call neither hooks nor functions of torch
                opening.enter_context(torch.compiler.set_stance("force_eager"))
            for module, path in self._paths.items():
                self._follow(opening, module, path)
            if self._functions:
                opening.enter_context(_Functions(self))
            self._opened = opening.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._opened.close()
        self._calls.clear()

    def _follow(self, opening: ExitStack, module: nn.Module, path: str) -> None:
        calls, names = self._calls, self._names
        wanted = bool(path) and (self._only is None or path in self._only)
        if path and not (self._functions or wanted):
            return
        prefix = path and f"{path}."
        call = _Call(module, None if type(module).__module__.startswith(_LEAVES) else prefix)

        def begin(_module: nn.Module, _inputs: object) -> None:
            if not path or not calls:
                calls.clear()  # an interrupted pass may have left some
                names.begin()
                self.on_pass(whole=not path)
            calls.append(call)

        def finish(_module: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
            return self.on_module(names.of_module(path), module, inputs, output)

        def end(_module: nn.Module, _inputs: object, _output: object) -> None:
            if calls and calls[-1] is call:
                calls.pop()

        opening.callback(module.register_forward_pre_hook(begin, prepend=True).remove)
        if wanted:
            opening.callback(module.register_forward_hook(finish).remove)
        opening.callback(module.register_forward_hook(end, always_call=True).remove)


class _Functions(TorchFunctionMode):
    def __init__(self, following: Following) -> None:
        super().__init__()
        self._following = following

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        following = self._following
        calls = following._calls
        prefix = calls[-1].prefix if calls else None
        if prefix is None:
            return following.on_hidden(function, args, kwargs or {})
        name = following._names.of_function(prefix + function_name(function))
        return following.on_function(name, function, args, kwargs or {})


def _has_compiled(model: nn.Module) -> bool:
    return any(
        type(module).__name__ == "OptimizedModule" or getattr(module, "_compiled_call_impl", None) is not None
        for module in model.modules()
    )
