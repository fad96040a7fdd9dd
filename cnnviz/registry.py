"""Named things found by their file: dropping a module into a package is all it takes to add one."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from cnnviz.errors import ConfigError, UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
_MOST_NAMES = 20


class Registry(Generic[T]):
    """Names mapped to things that the modules of one package register.

    The package's modules are imported on the first look-up that needs them: a module named like the
    thing (dashes as underscores) first, all of them only if that does not help.
    """

    def __init__(self, kind: str, package: str) -> None:
        """Make an empty registry.

        Args:
            kind: What is registered, as error messages call it ("model").
            package: The package whose modules register things ("cnnviz.models").
        """
        self.kind = kind
        self._package = package
        self._things: dict[str, T] = {}
        self._complete = False

    def register(self, name: str) -> Callable[[T], T]:
        """Return a decorator that registers what it decorates under `name`.

        Raises:
            ConfigError: If the name is taken by something else.
        """

        def add(thing: T) -> T:
            known = self._things.get(name)
            if known is not None and _origin(known) != _origin(thing):
                raise ConfigError(
                    f"two {self.kind}s are named {name!r}: {_origin(known)} and {_origin(thing)}"
                )
            self._things[name] = thing
            return thing

        return add

    def names(self) -> list[str]:
        """Return all registered names, sorted."""
        self._import_all()
        return sorted(self._things)

    def get(self, name: str) -> T:
        """Return what is registered as `name`, or what `package.module:attribute` points to.

        Raises:
            UnknownNameError: If there is no such thing; the message lists the known names.
        """
        if name not in self._things:
            self._import_one(name)
        if name not in self._things:
            self._import_all()
        if name in self._things:
            return self._things[name]
        if ":" in name:
            return cast("T", _import_attribute(name, self.kind))
        raise UnknownNameError(self._unknown(name))

    def __contains__(self, name: str) -> bool:
        if name not in self._things:
            self._import_one(name)
        if name not in self._things:
            self._import_all()
        return name in self._things

    def _import_one(self, name: str) -> None:
        module = name.replace("-", "_")
        if module.isidentifier() and module in {m.name for m in self._modules()}:
            importlib.import_module(f"{self._package}.{module}")

    def _import_all(self) -> None:
        if not self._complete:
            for module in self._modules():
                importlib.import_module(f"{self._package}.{module.name}")
            self._complete = True

    def _modules(self) -> list[pkgutil.ModuleInfo]:
        package = importlib.import_module(self._package)
        return sorted(pkgutil.iter_modules(package.__path__), key=lambda m: m.name)

    def _unknown(self, name: str) -> str:
        names = self.names()
        close = get_close_matches(name, names, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        shown = names
        if len(names) > _MOST_NAMES:  # torchvision alone has eighty: the nearest tell more than all
            near = get_close_matches(name, names, n=_MOST_NAMES, cutoff=0.0)
            shown = [*sorted(near), f"and {len(names) - len(near)} more"]
        return (
            f"no {self.kind} is named {name!r}.{hint} Known: {', '.join(shown)}; "
            f"or name your own as package.module:attribute"
        )


def _origin(thing: object) -> str:
    return f"{getattr(thing, '__module__', '?')}.{getattr(thing, '__qualname__', repr(thing))}"


def _import_attribute(path: str, kind: str) -> Any:
    module_name, _, attribute = path.partition(":")
    if str(Path.cwd()) not in sys.path:  # as `python -m` does, so that a user's own file is found
        sys.path.insert(0, str(Path.cwd()))
    try:
        module = importlib.import_module(module_name)
    except (ImportError, ValueError, TypeError) as error:
        raise UnknownNameError(f"the {kind} {path!r} can't be imported: {error}") from error
    if not hasattr(module, attribute):
        raise UnknownNameError(f"the {kind} {path!r} isn't there: {module_name} has no {attribute!r}")
    return getattr(module, attribute)
